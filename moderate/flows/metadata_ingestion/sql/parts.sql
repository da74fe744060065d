-- Everything of a database that OpenMetadata shows, each part with a hash
-- of what it is. Rows in text form: (a,b) is quoted, so that no two
-- different rows look alike.
WITH schemas AS (
    SELECT oid, nspname FROM pg_catalog.pg_namespace
     WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
),
relations AS (
    SELECT c.*, s.nspname
      FROM pg_catalog.pg_class c JOIN schemas s ON s.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT c.relispartition
),
columns AS (
    SELECT a.attrelid,
           string_agg(ROW(
               a.attnum, a.attname,
               pg_catalog.format_type(a.atttypid, a.atttypmod),
               a.attnotnull, a.attidentity, a.attgenerated,
               pg_catalog.pg_get_expr(d.adbin, d.adrelid),
               pg_catalog.col_description(a.attrelid, a.attnum),
               -- Values of an enum, fields of a composite type.
               (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
                  FROM pg_catalog.pg_enum e WHERE e.enumtypid = a.atttypid),
               (SELECT string_agg(ROW(f.attname, pg_catalog.format_type(
                                      f.atttypid, f.atttypmod))::text,
                                  ',' ORDER BY f.attnum)
                  FROM pg_catalog.pg_type t
                  JOIN pg_catalog.pg_attribute f ON f.attrelid = t.typrelid
                 WHERE t.oid = a.atttypid AND NOT f.attisdropped)
           )::text, ',' ORDER BY a.attnum) AS text
      FROM pg_catalog.pg_attribute a
      JOIN relations r ON r.oid = a.attrelid
      LEFT JOIN pg_catalog.pg_attrdef d
             ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND NOT a.attisdropped
     GROUP BY a.attrelid
),
constraints AS (
    SELECT k.conrelid,
           string_agg(ROW(k.conname, pg_catalog.pg_get_constraintdef(k.oid)
                     )::text, ',' ORDER BY k.conname) AS text
      FROM pg_catalog.pg_constraint k JOIN relations r ON r.oid = k.conrelid
     GROUP BY k.conrelid
),
policies AS (
    SELECT p.polrelid, string_agg(p.polname, ',' ORDER BY p.polname) AS text
      FROM pg_catalog.pg_policy p GROUP BY p.polrelid
)
SELECT 'database' AS kind, '{}'::text[] AS path,
       -- The framework brings no comment of a database itself.
       md5(ROW(d.oid, d.datname)::text) AS hash,
       NULL::text AS rows_hash, NULL::boolean AS readable
  FROM pg_catalog.pg_database d
 WHERE d.datname = pg_catalog.current_database()
UNION ALL
SELECT 'schema', ARRAY[s.nspname::text],
       md5(ROW(s.nspname,
               pg_catalog.obj_description(s.oid, 'pg_namespace'))::text),
       NULL, NULL
  FROM schemas s
UNION ALL
SELECT 'table', ARRAY[r.nspname::text, r.relname::text],
       md5(ROW(r.relkind, columns.text, constraints.text, policies.text,
               pg_catalog.obj_description(r.oid, 'pg_class'),
               CASE WHEN r.relkind IN ('v', 'm')
                    THEN pg_catalog.pg_get_viewdef(r.oid) END,
               CASE WHEN r.relkind = 'p'
                    THEN pg_catalog.pg_get_partkeydef(r.oid) END)::text),
       -- Rows that came, changed and went, also in partitions; a table that
       -- was emptied or restored has other files. A server that crashed
       -- counts from 0 again, and so might come to a number that was known.
       CASE WHEN r.relkind <> 'v' THEN md5(ROW(
           (SELECT stats_reset FROM pg_catalog.pg_stat_bgwriter),
           (SELECT string_agg(ROW(
                       leaf.relid::oid,
                       pg_catalog.pg_relation_filenode(leaf.relid),
                       pg_catalog.pg_stat_get_tuples_inserted(leaf.relid),
                       pg_catalog.pg_stat_get_tuples_updated(leaf.relid),
                       pg_catalog.pg_stat_get_tuples_deleted(leaf.relid)
                   )::text, ',' ORDER BY leaf.relid::oid)
              FROM (SELECT t.relid FROM pg_catalog.pg_partition_tree(r.oid) t
                     WHERE r.relkind = 'p'
                    UNION ALL
                    SELECT r.oid::regclass WHERE r.relkind <> 'p') leaf)
       )::text) END,
       pg_catalog.has_schema_privilege(r.relnamespace, 'USAGE')
       AND pg_catalog.has_table_privilege(r.oid, 'SELECT')
  FROM relations r
  LEFT JOIN columns ON columns.attrelid = r.oid
  LEFT JOIN constraints ON constraints.conrelid = r.oid
  LEFT JOIN policies ON policies.polrelid = r.oid
UNION ALL
-- Those of one name are one in OpenMetadata.
SELECT 'procedure', ARRAY[s.nspname::text, p.proname::text],
       md5(string_agg(ROW(
           p.prokind, p.prosrc, p.proargtypes::text,
           pg_catalog.format_type(p.prorettype, NULL), p.prolang,
           pg_catalog.obj_description(p.oid, 'pg_proc'))::text,
           ',' ORDER BY p.oid)),
       NULL, NULL
  FROM pg_catalog.pg_proc p JOIN schemas s ON s.oid = p.pronamespace
 WHERE p.prokind IN ('p', 'f')
 GROUP BY s.nspname, p.proname
