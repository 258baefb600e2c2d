import { Client, fetch, Agent as UndiciAgent } from "undici";
import { check, pattern, port } from "./common.mjs";

const client = new Client(`http://127.0.0.1:${port}`);
const { body } = await client.request({ path: "/", method: "POST", body: pattern() });
check(Buffer.from(await body.arrayBuffer()));
await client.close();

const dispatcher = new UndiciAgent();
const answer = await fetch(`http://localhost:${port}/`, { method: "POST", body: pattern(), dispatcher });
check(Buffer.from(await answer.arrayBuffer()));
await dispatcher.close();

const own = await globalThis.fetch(`http://127.0.0.1:${port}/bytes/1000000`, { headers: { connection: "close" } });
check(Buffer.from(await own.arrayBuffer()), pattern(1_000_000));
