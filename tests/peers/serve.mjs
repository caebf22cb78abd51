// Serves an MCP server of the official SDK over Streamable HTTP, on a port of loopback that the system chose.
//
// Prints one line of JSON, {"url": …}, once it listens, and ends when its stdin ends, so that it never outlives
// the test that started it. GET /count tells how many MCP requests have arrived: what a gateway refused is not
// among them.
import { randomUUID } from "node:crypto";
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { isInitializeRequest } from "@modelcontextprotocol/sdk/types.js";

export function serve(createServer, { retryInterval } = {}) {
  const app = createMcpExpressApp();
  const transports = new Map();
  const seen = { requests: 0, methods: {}, authorization: 0 };

  app.get("/count", (_request, response) => response.json(seen));

  app.post("/mcp", async (request, response) => {
    seen.requests += 1;
    if (request.headers.authorization) seen.authorization += 1;
    for (const { method } of [request.body ?? {}].flat()) {
      if (method) seen.methods[method] = (seen.methods[method] ?? 0) + 1;
    }
    const known = transports.get(request.headers["mcp-session-id"]);
    if (known) return known.handleRequest(request, response, request.body);
    if (request.headers["mcp-session-id"]) return refuse(response, 404, -32001, "Session not found");
    if (!isInitializeRequest(request.body)) return refuse(response, 400, -32000, "No session");
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new EventStore(),
      retryInterval,
      onsessioninitialized: (id) => transports.set(id, transport),
      onsessionclosed: (id) => transports.delete(id),
    });
    await createServer().connect(transport);
    await transport.handleRequest(request, response, request.body);
  });

  for (const method of ["get", "delete"]) {
    app[method]("/mcp", async (request, response) => {
      seen.requests += 1;
      const transport = transports.get(request.headers["mcp-session-id"]);
      if (!transport) return refuse(response, 404, -32001, "Session not found");
      await transport.handleRequest(request, response);
    });
  }

  const listener = app.listen(0, "127.0.0.1", () => {
    console.log(JSON.stringify({ url: `http://127.0.0.1:${listener.address().port}/mcp` }));
  });
  process.stdin.on("end", () => process.exit(0)).resume();
}

function refuse(response, status, code, message) {
  response.status(status).json({ jsonrpc: "2.0", error: { code, message }, id: null });
}

// What a client that comes back with Last-Event-ID missed.
class EventStore {
  #events = [];

  async storeEvent(streamId, message) {
    this.#events.push({ streamId, message });
    return String(this.#events.length);
  }

  async getStreamIdForEventId(id) {
    return this.#events[Number(id) - 1]?.streamId;
  }

  async replayEventsAfter(lastId, { send }) {
    const { streamId } = this.#events[Number(lastId) - 1];
    for (let index = Number(lastId); index < this.#events.length; index += 1) {
      const event = this.#events[index];
      // An empty message only primed the stream.
      if (event.streamId === streamId && event.message.jsonrpc) await send(String(index + 1), event.message);
    }
    return streamId;
  }
}
