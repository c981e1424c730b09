use super::*;

const COLUMNS: [(&str, &[&str]); 3] = [
    ("orders", &["id", "customer_id", "status", "created", "total"]),
    ("customers", &["id", "email", "region_id"]),
    ("regions", &["id", "code"]),
];

fn has_column(_: Option<&str>, table: &str, column: &str) -> bool {
    COLUMNS.iter().any(|(name, columns)| *name == table && columns.contains(&column))
}

/// `table[alias] = equality / join / range / sort / inefficient` for short tables of expectations.
fn roles(text: &str) -> String {
    let found = match predicates(text, &has_column) {
        Ok(found) => found,
        Err(reason) => return reason,
    };
    let line = |table: &TablePredicates| {
        let equality: Vec<String> = table.equality.iter().map(|e| format!("{}*{}", e.column, e.values)).collect();
        let ranges: Vec<String> = table
            .ranges
            .iter()
            .map(|r| format!("{}{}{}", r.column, if r.lower { ">" } else { "" }, if r.upper { "<" } else { "" }))
            .collect();
        format!(
            "{}: ={} j={} r={} s={} o={}",
            table.alias,
            equality.join(","),
            table.joins.join(","),
            ranges.join(","),
            table.sort.as_deref().unwrap_or_default(),
            table.other_conditions
        )
    };
    found.tables.iter().map(line).collect::<Vec<_>>().join(" | ")
}

#[test]
fn columns_have_the_roles_that_the_statement_gives_them() {
    for (text, expected) in [
        ("select * from orders where customer_id = $1", "orders: =customer_id*1 j= r= s= o=0"),
        ("select * from orders where $1 = customer_id and 5 < total", "orders: =customer_id*1 j= r=total> s= o=0"),
        ("select * from orders where status in ($1,$2,$3)", "orders: =status*3 j= r= s= o=0"),
        ("select * from orders where id = any($1)", "orders: =id*10 j= r= s= o=0"),
        ("select * from orders where (id = $1 or id = $2)", "orders: =id*2 j= r= s= o=0"),
        ("select * from orders where id = $1 or status = $2", "orders: = j= r= s= o=1"),
        (
            "select * from orders where customer_id = $1 and created between $2 and $3 order by created desc limit $4",
            "orders: =customer_id*1 j= r=created>< s=created o=0",
        ),
        ("select * from orders where customer_id = $1 order by created", "orders: =customer_id*1 j= r= s= o=0"),
        ("select * from orders order by created desc nulls last limit $1", "orders: = j= r= s= o=0"),
        ("select * from orders where (created, id) > ($1, $2) limit $3", "orders: = j= r=created> s= o=0"),
        ("select * from orders where created > now() - $1::interval", "orders: = j= r=created> s= o=0"),
        ("update orders set status = $1 where customer_id = $2", "orders: =customer_id*1 j= r= s= o=0"),
        ("delete from shop.orders as o where o.created < $1", "o: = j= r=created< s= o=0"),
        (
            "select * from orders o join customers c on c.id = o.customer_id where email = $1",
            "o: = j=customer_id r= s= o=0 | c: =email*1 j=id r= s= o=0",
        ),
        (
            "select * from orders o, customers c where c.id = o.customer_id and c.email = lower($1)",
            "o: = j=customer_id r= s= o=0 | c: =email*1 j=id r= s= o=0",
        ),
        (
            "select * from customers c where exists (select 1 from orders o where o.customer_id = c.id and o.status = $1)",
            "c: = j=id r= s= o=0 | o: =status*1 j=customer_id r= s= o=0",
        ),
        (
            "with recent as (select * from orders where created > $1) select * from recent r where r.status = $2",
            "orders: = j= r=created> s= o=0",
        ),
        (
            "select * from orders where customer_id in (select id from customers where email = $1)",
            "orders: = j=customer_id r= s= o=0 | customers: =email*1 j= r= s= o=0",
        ),
        (
            "select * from customers c left join orders o on o.customer_id = c.id and c.region_id = $1 and o.status = $2",
            "c: = j= r= s= o=0 | o: =status*1 j=customer_id r= s= o=0",
        ),
        (
            "select * from orders o right outer join customers c on o.customer_id = c.id where c.email = $1",
            "o: = j=customer_id r= s= o=0 | c: =email*1 j= r= s= o=0",
        ),
        (
            "select * from orders left join customers using (id) join regions r on r.id = region_id",
            "orders: = j= r= s= o=0 | customers: = j=id,region_id r= s= o=0 | r: = j=id r= s= o=0",
        ),
        ("select * from orders where id <> $1 and status is null", "orders: = j= r= s= o=2"),
        ("select * from \"Orders\" where \"Customer Id\" = $1", "Orders: =Customer Id*1 j= r= s= o=0"),
        ("select * from ORDERS where CUSTOMER_ID = $1", "orders: =customer_id*1 j= r= s= o=0"),
    ] {
        assert_eq!(roles(text), expected, "{text}");
    }
}

#[test]
fn patterns_that_no_index_serves_are_named_without_literals() {
    let inefficient = |text: &str| {
        let found = predicates(text, &has_column).expect("predicates");
        found.tables[0].inefficient.join("; ")
    };
    assert_eq!(
        inefficient("select * from customers where lower(email) = $1"),
        "column email is compared inside an expression"
    );
    assert_eq!(
        inefficient("select * from orders where created::date = $1"),
        "column created is compared inside an expression"
    );
    assert_eq!(
        inefficient("select * from customers where email like '%secret'"),
        "LIKE with a leading wildcard on column email"
    );
    assert_eq!(
        inefficient("select * from customers where email like '%' || $1"),
        "LIKE with a leading wildcard on column email"
    );
    assert_eq!(inefficient("select * from customers where email like $1"), "");
}

#[test]
fn rows_measure_selectivity_only_where_nothing_else_shapes_them() {
    let found = |text: &str| predicates(text, &has_column).map(|found| (found.returns_matches, found.stops_early));
    assert_eq!(found("select * from orders where customer_id = $1"), Ok((true, false)));
    assert_eq!(found("update orders set total = $1 where customer_id = $2"), Ok((true, false)));
    assert_eq!(found("select * from orders where created > $1 order by id limit $2"), Ok((false, true)));
    assert_eq!(found("select count(*) from orders where customer_id = $1"), Ok((false, false)));
    assert_eq!(found("select 1 + count(*) from orders where customer_id = $1"), Ok((false, false)));
    assert_eq!(found("select distinct status from orders where customer_id = $1"), Ok((false, false)));
    assert_eq!(found("select o.id from orders o join customers c on c.id = o.customer_id"), Ok((false, false)));
}
