//! What the planner would run of other people's code. EXPLAIN executes nothing of a statement, but planning it does:
//! functions that are not volatile, whatever an operator, a cast or a domain's CHECK calls, what a view, a policy, an
//! index expression or a constraint holds. All of that would run with the monitor's rights, which may be to read
//! everything. So only what comes with the server is planned.
//!
//! The rule works on names, not on the parsed form, so that no notation is forgotten (`t.f` calls `f(t)`): every word of
//! the text that names something that a user can have made, on the statement's path or in a schema that the text names,
//! stops the look at that statement.

use sqlx::postgres::PgConnection;

/// Functions of the server that run what their arguments name, and are not volatile: reading a view by its name would
/// call the functions in it, testing an input those of a domain.
const RUNS_ARGUMENTS: &str = "'(_to_xml|^ts_stat$|^ts_rewrite$|^pg_input_)'";

/// `$1`: the words of the text, `$2`: the schemas of its path. A word can mean something in these and in every schema that
/// is named. Runs on a path of our own.
const REFUSED: &str = "
with recursive schema as (
  select n.oid, n.nspname from pg_namespace n
  where n.nspname <> 'pg_catalog' and (n.nspname = any($2::text[]) or n.nspname = any($1::text[]))
), code as (
  -- Only a superuser makes functions in these languages.
  select p.oid from pg_proc p join pg_language l on l.oid = p.prolang
  where l.lanname in ('internal', 'c') and p.proname::text !~ RUNS
), type as (
  select t.oid from pg_type t join pg_namespace n on n.oid = t.typnamespace
  where n.nspname = 'pg_catalog'
     -- Base types are a superuser's; labels of an enumeration call nothing.
     or t.typtype in ('b', 'e') and t.typelem = 0
     or t.typtype = 'd' and not exists (select from pg_constraint k where k.contypid = t.oid)
        and exists (select from pg_type base join pg_namespace b on b.oid = base.typnamespace
                    where base.oid = t.typbasetype and b.nspname = 'pg_catalog')
), trusted_type as (
  select oid from type
  union
  select t.oid from pg_type t join type element on element.oid = t.typelem where t.typcategory = 'A'
), relation as (
  select c.oid, c.relkind, c.relrowsecurity, c.relname, c.relnamespace from pg_class c join schema s on s.oid = c.relnamespace
  where c.relname = any($1::text[]) and c.relkind in ('r', 'p', 'm', 'v', 'f')
  union
  select c.oid, c.relkind, c.relrowsecurity, c.relname, c.relnamespace
  from relation parent join pg_inherits i on i.inhparent = parent.oid join pg_class c on c.oid = i.inhrelid
), part as (
  select r.oid as relation, 'pg_class'::regclass as class, r.oid as object from relation r
  union all select r.oid, 'pg_class'::regclass, i.indexrelid from relation r join pg_index i on i.indrelid = r.oid
  union all select r.oid, 'pg_constraint'::regclass, k.oid from relation r join pg_constraint k on k.conrelid = r.oid
  union all select r.oid, 'pg_statistic_ext'::regclass, e.oid from relation r join pg_statistic_ext e on e.stxrelid = r.oid
  union all select r.oid, 'pg_attrdef'::regclass, d.oid from relation r join pg_attrdef d on d.adrelid = r.oid
            join pg_attribute a on a.attrelid = r.oid and a.attnum = d.adnum and a.attgenerated <> ''
), found as (
  select 1 as rank, format('function %s.%s', s.nspname, p.proname) as what
  from pg_proc p join schema s on s.oid = p.pronamespace
  -- Of an aggregate the planner reads only the first value, by its type.
  where p.proname = any($1::text[]) and not exists (
    select from pg_aggregate a where a.aggfnoid = p.oid and a.aggtranstype in (select oid from trusted_type))
  union all
  select 2, format('function %s, which runs what its arguments name', word) from unnest($1::text[]) word where word ~ RUNS
  union all
  select 3, format('type %s.%s', s.nspname, t.typname)
  from pg_type t join schema s on s.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
  where t.typname = any($1::text[]) and coalesce(c.relkind, 'c') = 'c' and t.oid not in (select oid from trusted_type)
  union all
  select 4, format('%s %s.%s', case r.relkind when 'v' then 'view' else 'foreign table' end, n.nspname, r.relname)
  from relation r join pg_namespace n on n.oid = r.relnamespace where r.relkind in ('v', 'f')
  union all
  select 5, format('row security of %s.%s', n.nspname, r.relname)
  from relation r join pg_namespace n on n.oid = r.relnamespace where r.relrowsecurity
  union all
  select 6, format('type %s of column %s of %s.%s', format_type(a.atttypid, null), a.attname, n.nspname, r.relname)
  from relation r join pg_namespace n on n.oid = r.relnamespace
  join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  where a.atttypid not in (select oid from trusted_type)
  union all
  select 7, format('function %s in an index, a constraint, a generated column or statistics of %s.%s',
                   p.proname, n.nspname, r.relname)
  from relation r join pg_namespace n on n.oid = r.relnamespace join part on part.relation = r.oid
  join pg_depend d on d.classid = part.class and d.objid = part.object
  left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
  join pg_proc p on p.oid = case d.refclassid when 'pg_proc'::regclass then d.refobjid else o.oprcode::oid end
  where p.oid not in (select oid from code)
  union all
  -- Which operator a symbol means depends on types that only the planner knows: any that could be meant counts.
  select 8, format('operator %s.%s', s.nspname, o.oprname)
  from pg_operator o join schema s on s.oid = o.oprnamespace where o.oprcode::oid not in (select oid from code)
  union all
  select 9, format('cast from %s to %s', format_type(k.castsource, null), format_type(k.casttarget, null))
  from pg_cast k where k.oid >= 16384 and k.castfunc <> 0 and k.castfunc not in (select oid from code)
  union all
  select 10, 'type ' || format_type(t.oid, null) || ' of a parameter'
  from pg_prepared_statements p cross join unnest(p.parameter_types::oid[]) parameter(type) join pg_type t on t.oid = parameter.type
  where p.name = 'dbmedic_look' and t.oid not in (select oid from trusted_type)
)
select what from found order by rank, what limit 1";

/// The first thing for which a text with these words is not planned, when its path leads to these schemas.
pub(super) async fn refused(
    connection: &mut PgConnection,
    words: &[String],
    schemas: &[String],
) -> Result<Option<String>, sqlx::Error> {
    let sql = REFUSED.replace("RUNS", RUNS_ARGUMENTS);
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .persistent(false)
        .bind(words)
        .bind(schemas)
        .fetch_optional(connection)
        .await
}
