/** How a connection begins. */
import { once } from "node:events";
import { expect, it } from "vitest";
import { closeAll, listening, type World } from "./harness.js";

export default function connect(world: World): void {
  it("tells connect, then ready", async () => {
    const { server, port } = await listening(world);
    const told: string[] = [];
    const client = world.client.connect(port, world.host);
    client.on("connect", () => told.push("connect"));
    client.on("ready", () => told.push("ready"));
    await once(client, "ready");
    expect(told).toEqual(["connect", "ready"]);
    await closeAll(server, client);
  });
}
