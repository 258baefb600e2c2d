/** The transition table of a state machine as a diagram that GitHub and others draw (mermaid's stateDiagram-v2). */
import type { State, Transition } from "../tcp/state.js";

/**
 * The diagram as mermaid text, without a newline at its end. Labels are "event / what is sent", as in figure 5 of RFC 9293;
 * "*" marks what stands in the RFC's text alone.
 */
export function stateDiagram(states: readonly State[], transitions: readonly Transition[]): string {
  const names = states
    .filter((state) => state.includes("-"))
    // A dash in a name would read as a piece of an arrow.
    .map((state) => `    state "${state}" as ${nameOf(state)}`);
  const arrows = transitions.map(({ from, to, event, action, inTextOnly }) => {
    const label = `${event}${action === "" ? "" : ` / ${action}`}${inTextOnly === true ? " *" : ""}`;
    return `    ${nameOf(from)} --> ${nameOf(to)}: ${label}`;
  });
  return ["stateDiagram-v2", ...names, "    [*] --> CLOSED", ...arrows].join("\n");
}

function nameOf(state: State): string {
  return state.replaceAll("-", "_");
}
