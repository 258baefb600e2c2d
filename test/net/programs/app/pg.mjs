import pg from "pg";
import { check, pattern, port } from "./common.mjs";

const pool = new pg.Pool({ host: "127.0.0.1", port, user: "postgres", database: "postgres", max: 5 });
await pool.query("create table blobs (id int primary key, data bytea)");
const blobs = Array.from({ length: 5 }, (_, i) => pattern((i + 1) * 200_000));
await Promise.all(blobs.map((data, i) => pool.query("insert into blobs values ($1, $2)", [i, data])));
for (const [i, data] of blobs.entries()) {
  const { rows } = await pool.query("select data from blobs where id = $1", [i]);
  check(rows[0].data, data);
}
const { rows } = await pool.query("select n, repeat('x', 50) as text from generate_series(1, 20000) as n");
if (rows.length !== 20_000 || rows.at(-1).n !== 20_000) throw new Error(`${rows.length} rows`);
console.log(`ok ${rows.length} rows`);
await pool.end();
