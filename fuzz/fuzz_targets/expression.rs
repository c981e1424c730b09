#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = dbmedic::cli::fuzzing::expression(text);
});
