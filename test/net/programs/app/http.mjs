import http from "node:http";
import { check, gather, pattern, port, role, serve } from "./common.mjs";

if (role === "server") {
  const server = http.createServer((request, response) => {
    const [, size] = /^\/bytes\/(\d+)$/.exec(request.url) ?? [];
    if (size !== undefined) response.end(pattern(Number(size)));
    else request.pipe(response);
  });
  await serve(server, () => {
    server.close();
    server.closeIdleConnections();
  });
} else {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
  const exchange = () =>
    new Promise((resolve, reject) => {
      const request = http.request({ port, host: "127.0.0.1", method: "POST", agent }, (response) => resolve(gather(response)));
      request.on("error", reject);
      request.end(pattern());
    });
  for (const received of await Promise.all([exchange(), exchange(), exchange()])) check(received);
  agent.destroy();
}
