import https from "node:https";
import { check, gather, pattern, port, role, serve, tlsFiles } from "./common.mjs";

if (role === "server") {
  const server = https.createServer(tlsFiles(), (request, response) => {
    const [, size] = /^\/bytes\/(\d+)$/.exec(request.url) ?? [];
    if (size !== undefined) response.end(pattern(Number(size)));
    else request.pipe(response);
  });
  await serve(server, () => {
    server.close();
    server.closeIdleConnections();
  });
} else {
  const received = await new Promise((resolve, reject) => {
    const request = https.request({ port, host: "localhost", method: "POST", ca: tlsFiles().ca, agent: false }, (response) =>
      resolve(gather(response)),
    );
    request.on("error", reject);
    request.end(pattern());
  });
  check(received);
}
