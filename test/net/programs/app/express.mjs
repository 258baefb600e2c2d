import { readdirSync } from "node:fs";
import express from "express";
import { serve } from "./common.mjs";

const app = express();
app.use(express.json());
app.get("/", (_request, response) => response.send("hello"));
app.get("/json/:name", (request, response) => response.json({ name: request.params.name, list: [1, 2, 3] }));
app.post("/echo", (request, response) => response.json(request.body));
app.get("/stats", (_request, response) => {
  globalThis.gc?.();
  response.set("connection", "close").json({ files: readdirSync("/proc/self/fd").length, heap: process.memoryUsage().heapUsed });
});
const { createServer } = await import("node:http");
const server = createServer(app);
await serve(server, () => {
  server.close();
  server.closeAllConnections();
});
