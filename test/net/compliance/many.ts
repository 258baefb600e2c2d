/** Many connections, at once and in a row. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { client, listening, readAll, type World } from "./harness.js";

export default function many(world: World): void {
  const { host } = world;

  it("100 at once, each with words of its own", async () => {
    const { server, port } = await listening(world, { allowHalfOpen: true }, (far) => far.pipe(far));
    const texts = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const near = client(world, { port, host });
        near.end(`connection ${i}`);
        return String(await readAll(near));
      }),
    );
    expect(texts).toEqual(Array.from({ length: 100 }, (_, i) => `connection ${i}`));
    server.close();
    await once(server, "close");
  });

  it("200 in a row", async () => {
    const { server, port } = await listening(world, { allowHalfOpen: true }, (far) => far.pipe(far));
    for (let i = 0; i < 200; i++) {
      const near = client(world, { port, host });
      near.end(String(i));
      expect(String(await readAll(near))).toBe(String(i));
    }
    server.close();
    await once(server, "close");
  });

  it("20 servers", async () => {
    const servers = await Promise.all(Array.from({ length: 20 }, (_, i) => listening(world, {}, (far) => far.end(String(i)))));
    const texts = await Promise.all(servers.map(({ port }) => readAll(client(world, { port, host }))));
    expect(texts.map(String)).toEqual(Array.from({ length: 20 }, (_, i) => String(i)));
  });

  it("connections that are opened and destroyed at once leave the server well", async () => {
    const { server, port } = await listening(world);
    server.on("connection", (far) => far.on("error", () => undefined).resume());
    for (let i = 0; i < 50; i++) client(world, { port, host }).destroy();
    const near = client(world, { port, host });
    await once(near, "connect");
    near.destroy();
    expect(server.listening).toBe(true);
  });
}
