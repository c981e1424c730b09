//! The store against a map, over random histories of appends, seals, imports and reopenings.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append(i64, [f32; 2]),
    Import(Vec<(i64, [f32; 2])>),
    Seal,
    Reopen,
}

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![Just(f32::NAN), (0u16..2000).prop_map(f32::from), proptest::num::f32::NORMAL, -1e6f32..1e6]
}

fn step() -> impl Strategy<Value = Step> {
    // Few enough instants that duplicates and late rounds are common; far enough apart to need several chunks.
    let round = || ((0i64..60).prop_map(|index| START + index * 45 * 60_000), [value(), value()]);
    prop_oneof![
        12 => round().prop_map(|(at, values)| Step::Append(at, values)),
        1 => proptest::collection::vec(round(), 0..40).prop_map(Step::Import),
        2 => Just(Step::Seal),
        1 => Just(Step::Reopen),
    ]
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    let metrics = names(&["one", "two"]);
    let mut store = Store::open(file(&directory)).await.unwrap();
    let mut series = store.target(&key("a"), &metrics).await.unwrap();
    let mut model: [BTreeMap<i64, f32>; 2] = [BTreeMap::new(), BTreeMap::new()];
    let remember = |model: &mut [BTreeMap<i64, f32>; 2], at: i64, values: [f32; 2]| {
        for (map, value) in model.iter_mut().zip(values) {
            if let Some(value) = round_value(value) {
                map.insert(at, value);
            }
        }
    };
    for step in steps {
        match step {
            Step::Append(at, values) => {
                store.append(&series, at, &values).await.unwrap();
                remember(&mut model, at, values);
            }
            Step::Import(rounds) => {
                // An import is sealed at once: what is in the open chunk would count as stored later.
                store.seal(&series).await.unwrap();
                let rows = rounds.iter().map(|(at, values)| (*at, values.to_vec()));
                store.import(&key("a"), &metrics, rows).await.unwrap();
                for (at, values) in rounds {
                    remember(&mut model, at, values);
                }
            }
            Step::Seal => store.seal(&series).await.unwrap(),
            Step::Reopen => {
                store.close().await;
                store = Store::open(file(&directory)).await.unwrap();
                series = store.target(&key("a"), &metrics).await.unwrap();
            }
        }
    }
    for (map, metric) in model.iter().zip(["one", "two"]) {
        let found = store.read(&key("a"), metric, i64::MIN, i64::MAX).await.unwrap();
        let found: Vec<(i64, u32)> = found.iter().map(|sample| (sample.at, sample.value.to_bits())).collect();
        let expected: Vec<(i64, u32)> = map.iter().map(|(at, value)| (*at, value.to_bits())).collect();
        prop_assert_eq!(found, expected);
        store.seal(&series).await.unwrap();
        let roll_ups = store.roll_ups(&key("a"), metric, i64::MIN, i64::MAX).await.unwrap();
        prop_assert_eq!(roll_ups.iter().map(|hour| hour.count as usize).sum::<usize>(), map.len());
        for hour in roll_ups {
            let values: Vec<f32> = map.range(hour.at..hour.at + HOUR).map(|(_, value)| *value).collect();
            prop_assert_eq!(hour.minimum, values.iter().copied().fold(f32::INFINITY, f32::min));
            prop_assert_eq!(hour.maximum, values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn what_is_stored_is_what_is_read(steps in proptest::collection::vec(step(), 1..80)) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(run(steps))?;
    }
}
