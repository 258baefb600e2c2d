/** What the programs share. None of them knows anything of rawtcp. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";

export const MEBIBYTES = 3;

export function pattern(length = MEBIBYTES << 20) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8)) & 255;
  return bytes;
}

export const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/** Listens on a free port, says which, and closes in good order at SIGTERM or the end of standard input. */
export async function serve(server, close = () => server.close()) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  console.log(`listening ${server.address().port}`);
  process.once("SIGTERM", close);
}

/** What a client has got back must be what it has sent. */
export function check(received, sent = pattern()) {
  if (!received.equals(sent)) throw new Error(`got ${received.length} bytes, ${sha256(received)}, not ${sha256(sent)}`);
  console.log(`ok ${received.length} bytes`);
}

export async function gather(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A key and a certificate for localhost, from the folder that the environment names. */
export const tlsFiles = () => ({
  key: readFileSync(`${process.env.TLS_FOLDER}/key.pem`),
  cert: readFileSync(`${process.env.TLS_FOLDER}/cert.pem`),
  ca: readFileSync(`${process.env.TLS_FOLDER}/cert.pem`),
});

export const [role, portText] = process.argv.slice(2);
export const port = Number(portText);
