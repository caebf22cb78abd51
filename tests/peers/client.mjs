// A client of the official SDK 1.x at work with server-everything. Prints what it saw as one JSON object.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const [url] = process.argv.slice(2);
const token = process.env.TOKEN;
const headers = token ? { authorization: `Bearer ${token}` } : {};

const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
const client = new Client(
  { name: "npm-sdk", version: "1.32.2" },
  { capabilities: { sampling: {}, elicitation: {} } },
);
client.setRequestHandler(CreateMessageRequestSchema, async () => ({
  role: "assistant", model: "none", content: { type: "text", text: "sampled by the client" },
}));
client.setRequestHandler(ElicitRequestSchema, async () => ({ action: "decline" }));
const logs = [];
client.fallbackNotificationHandler = async ({ method }) => logs.push(method);

await client.connect(transport);
const seen = { server: client.getServerVersion().name, protocol: transport.protocolVersion };
const { tools } = await client.listTools();
seen.tools = tools.map(({ name }) => name).sort();
const call = async (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
const textOf = ({ content }) => content.find(({ type }) => type === "text").text;

seen.echo = textOf(await call("echo", { message: "Grüße, \u{1F9FE} and 1.0e2" }));
seen.sum = textOf(await call("get-sum", { a: 2, b: 40 }));
seen.structured = (await call("get-structured-content", { location: "New York" })).structuredContent;
seen.image = (await call("get-tiny-image", {})).content.some(({ type }) => type === "image");
const progress = [];
await call("trigger-long-running-operation", { duration: 0.5, steps: 5 }, {
  onprogress: ({ progress: done }) => progress.push(done),
});
seen.progress = progress;
seen.sampling = textOf(await call("trigger-sampling-request", { prompt: "say something", maxTokens: 10 }));
seen.elicitation = textOf(await call("trigger-elicitation-request", {}));
seen.toolError = (await call("get-sum", { a: "no number" })).isError;
seen.resources = (await client.listResources()).resources.length;
seen.resource = (await client.readResource({ uri: "demo://resource/dynamic/text/1" })).contents[0].text;
seen.unknownResource = await client.readResource({ uri: "demo://nothing/here" }).then(() => 0, ({ code }) => code);
seen.prompts = (await client.listPrompts()).prompts.map(({ name }) => name).sort();
seen.prompt = (await client.getPrompt({ name: "simple-prompt" })).messages.length;
seen.pong = await client.ping();
seen.session = transport.sessionId;
await transport.terminateSession();
await client.close();
console.log(JSON.stringify(seen));
