import { generateKeyPairSync } from "node:crypto";
import ssh2 from "ssh2";
import { check, gather, pattern, port, role, serve } from "./common.mjs";

if (role === "server") {
  const { privateKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "pkcs1", format: "pem" },
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
  });
  const server = new ssh2.Server({ hostKeys: [privateKey] }, (client) => {
    client.on("error", () => undefined);
    client.on("authentication", (context) => context.accept());
    client.on("ready", () => {
      client.on("session", (accept) => {
        accept().on("exec", (acceptExec) => {
          const stream = acceptExec();
          stream.pipe(stream);
          stream.on("end", () => {
            stream.exit(0);
            stream.end();
          });
        });
      });
    });
  });
  await serve(server);
} else {
  const client = new ssh2.Client();
  client.on("ready", () => {
    client.exec("cat", async (error, stream) => {
      if (error) throw error;
      stream.end(pattern());
      check(await gather(stream));
      client.end();
    });
  });
  client.connect({ host: "127.0.0.1", port, username: "test", password: "test" });
}
