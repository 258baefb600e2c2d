import Redis from "ioredis";
import { check, pattern, port } from "./common.mjs";

const redis = new Redis({ host: "127.0.0.1", port, maxRetriesPerRequest: 1 });
await redis.set("blob", pattern());
check(await redis.getBuffer("blob"));
const pipeline = redis.pipeline();
for (let i = 0; i < 5000; i++) pipeline.incr("counter");
const results = await pipeline.exec();
if (results.at(-1)[1] !== 5000) throw new Error(`counter is ${results.at(-1)[1]}`);
const subscriber = new Redis({ host: "127.0.0.1", port });
await subscriber.subscribe("news");
const heard = new Promise((resolve) => subscriber.once("message", (_channel, text) => resolve(text)));
await redis.publish("news", "hello");
console.log(`ok 5000 increments, heard ${await heard}`);
await Promise.all([redis.quit(), subscriber.quit()]);
