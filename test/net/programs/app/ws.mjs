import http from "node:http";
import { WebSocket, WebSocketServer } from "ws";
import { check, pattern, port, role, serve } from "./common.mjs";

if (role === "server") {
  const server = http.createServer();
  const sockets = new WebSocketServer({ server, maxPayload: 16 << 20 });
  sockets.on("connection", (socket) => socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary })));
  await serve(server, () => {
    sockets.close();
    server.close();
  });
} else {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  const sent = pattern();
  let answers = 0;
  socket.on("open", () => {
    socket.send(sent);
    for (let i = 0; i < 100; i++) socket.send(`message ${i}`);
  });
  socket.on("message", (data, isBinary) => {
    if (isBinary) check(Buffer.from(data));
    else if (String(data) !== `message ${answers++}`) throw new Error(`out of order: ${data}`);
    if (answers === 100) socket.close();
  });
  socket.on("close", (code) => console.log(`closed ${code}, ${answers} answers`));
}
