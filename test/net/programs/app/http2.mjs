import http2 from "node:http2";
import { check, gather, pattern, port, role, serve, tlsFiles } from "./common.mjs";

if (role === "server") {
  const server = http2.createSecureServer(tlsFiles());
  const sessions = new Set();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  server.on("stream", (stream) => {
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  });
  await serve(server, () => {
    server.close();
    for (const session of sessions) session.close();
  });
} else {
  const session = http2.connect(`https://localhost:${port}`, { ca: tlsFiles().ca });
  const exchange = () => {
    const stream = session.request({ ":method": "POST", ":path": "/" });
    stream.end(pattern(1 << 20));
    return gather(stream);
  };
  for (const received of await Promise.all([exchange(), exchange(), exchange()])) check(received, pattern(1 << 20));
  session.close();
}
