// A client of the official SDK 1.x whose stream is closed in the midst of a call: it comes back with Last-Event-ID and
// gets the answer then. Prints the answer's text.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url] = process.argv.slice(2);
const headers = { authorization: `Bearer ${process.env.TOKEN}` };
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
const client = new Client({ name: "npm-sdk", version: "1.32.2" });
await client.connect(transport);
const result = await client.callTool({ name: "test_reconnection", arguments: {} }, undefined, { timeout: 20_000 });
console.log(JSON.stringify({ text: result.content[0].text }));
await transport.terminateSession();
await client.close();
