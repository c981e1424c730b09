//! A role without rights tries to have its code run by the planner with the monitor's.

use dbmedic::database::postgresql::look::look;
use dbmedic::diagnose::diagnose;

use crate::server::{Server, script};
use crate::{SHOP, Sent, grown};

/// What an attacker may make in a schema of its own. `evil.f` leaks what it reads by a session's advisory lock, which
/// no rollback takes back.
const EVIL: &str = "
create table secret (pin int); insert into secret values (4711); revoke all on secret from public;
create type mood as enum ('good', 'bad'); create domain short as text;
create table happy (id int, mood mood, tags text[], kind short);
insert into happy select n, 'good', '{a}', 'x' from generate_series(1, 2000) n; analyze happy;
create role attacker login; create schema evil authorization attacker;
alter role attacker set search_path = evil, public; grant select on orders, customers to attacker;
set session authorization attacker; set search_path = evil, public;
create function f(int) returns int language plpgsql stable as $$
begin if current_user = 'monitor' then perform pg_advisory_lock(pin) from secret; end if; return $1; end $$;
create function fixed(int) returns int language plpgsql immutable as $$ begin return evil.f($1); end $$;
create function r(record) returns int language plpgsql stable as $$ begin return evil.f(1); end $$;
create function same(text, int) returns boolean language plpgsql immutable as $$ begin return evil.f(1) = 1; end $$;
create operator = (leftarg = text, rightarg = int, function = same);
create function unnest(text[]) returns setof text language plpgsql stable as $$
begin perform evil.f(1); return query select pg_catalog.unnest($1); end $$;
create function cardinality(regtype[]) returns int language plpgsql stable as $$ begin return evil.f(1); end $$;
create function counts(oid, int) returns boolean language plpgsql stable as $$ begin return evil.f(1) = 1; end $$;
create operator = (leftarg = oid, rightarg = int, function = counts);
create domain number as int check (evil.f(value) = value);
create view seen as select evil.f(7) as one;
create table typed (id number); insert into typed values (1);
create table indexed (id int); insert into indexed values (1); create index on indexed ((id + fixed(3)));
create table checked (id int check (id <> fixed(3))); insert into checked values (1);
create table guarded (id int);
alter table guarded enable row level security; create policy p on guarded using (f(7) = id);
grant usage on schema evil to public; grant select on all tables in schema evil to public;
reset session authorization;";

/// Statement, its value, and what is named in the reason.
const REFUSED: [(&str, &str, &str); 11] = [
    ("select * from orders where id = evil.f($1)", "7", "function evil.f"),
    ("select * from orders where id = f($1)", "7", "function evil.f"),
    ("select * from orders, (select 1 as a) s where id = s.r and total = $1", "7", "function evil.r"),
    ("select * from seen where one = $1", "7", "view evil.seen"),
    ("select * from orders where id = $1::number", "7", "type evil.number"),
    ("select * from typed where id = $1", "1", "of column id of evil.typed"),
    ("select * from indexed where id = $1", "1", "function fixed in an index"),
    ("select * from checked where id = $1", "1", "function fixed in an index"),
    ("select * from guarded where id = $1", "7", "row security of evil.guarded"),
    ("select * from orders where note = table_to_xml('seen', true, true, $1)::text", "''", "table_to_xml"),
    ("select * from orders where status = $1", "7", "operator evil.="),
];

#[tokio::test]
async fn code_of_users_is_not_run_by_planning_their_statements() {
    let server = Server::start();
    let mut application = server.connect("postgres").await;
    script(&mut application, SHOP).await;
    script(&mut application, EVIL).await;
    let mut attacker = server.connect("attacker").await;
    let mut monitor = server.connect("monitor").await;
    for (text, value, named) in REFUSED {
        let growth = grown(&server, &mut attacker, text, &[value], Sent::Literals).await;
        // While the session still shows its values, and when only the text without them is left.
        for _ in 0..2 {
            let looked = look(&mut monitor, std::slice::from_ref(&growth)).await.expect("looked");
            let locks: i64 = sqlx::query_scalar("select count(*) from pg_locks where locktype = 'advisory'")
                .fetch_one(&mut application)
                .await
                .expect("counted");
            assert_eq!(locks, 0, "{text}");
            let reason = looked.statements[0].plan.clone().expect_err(text);
            assert!(reason.contains(named), "{text}: {reason}");
            let said = diagnose(&looked).root_cause.evidence;
            assert!(said.iter().any(|one| one.name == "not visible" && one.value.contains(named)), "{text}: {said:?}");
            script(&mut attacker, "select 1").await;
        }
    }
}

#[tokio::test]
async fn enumerations_arrays_plain_domains_and_the_servers_own_functions_are_planned() {
    let server = Server::start();
    let mut application = server.connect("postgres").await;
    script(&mut application, SHOP).await;
    script(&mut application, EVIL).await;
    let mut monitor = server.connect("monitor").await;
    for (text, value) in [
        ("select max(id) from happy where mood = 'good' and id = $1", "7"),
        ("select * from happy where lower(kind) = $1 and tags @> array['a']", "'x'"),
        ("select * from happy where mood = $1 and kind like 'x%' and id between 1 and 2", "'good'"),
    ] {
        for sent in [Sent::Prepared, Sent::Literals] {
            let growth = grown(&server, &mut application, text, &[value], sent).await;
            let looked = look(&mut monitor, &[growth]).await.expect("looked");
            assert!(looked.statements[0].plan.is_ok(), "{text}: {:?}", looked.statements[0].plan);
        }
    }
}
