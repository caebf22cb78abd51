// An upstream with every tool, resource and prompt that the conformance suite asks a server for.
import { completable } from "@modelcontextprotocol/sdk/server/completable.js";
import { McpServer, ResourceTemplate } from "@modelcontextprotocol/sdk/server/mcp.js";
import {
  CreateMessageResultSchema,
  ElicitResultSchema,
  ListToolsRequestSchema,
  SetLevelRequestSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";
import { serve } from "./serve.mjs";

const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";

const text = (text) => ({ type: "text", text });
const image = { type: "image", data: PNG, mimeType: "image/png" };
const resource = (uri, mimeType, text) => ({ type: "resource", resource: { uri, mimeType, text } });
const answer = (...content) => ({ content });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

serve(createServer, { retryInterval: 100 });

function createServer() {
  const mcp = new McpServer(
    { name: "everything-conformance", version: "1.0.0" },
    { capabilities: { logging: {}, completions: {}, resources: { subscribe: true, listChanged: true } } },
  );
  tools(mcp);
  resources(mcp);
  prompts(mcp);
  mcp.server.setRequestHandler(SetLevelRequestSchema, async () => ({}));
  mcp.server.setRequestHandler(SubscribeRequestSchema, async () => ({}));
  mcp.server.setRequestHandler(UnsubscribeRequestSchema, async () => ({}));
  return mcp;
}

function tools(mcp) {
  const tool = (name, description, run, inputSchema) =>
    mcp.registerTool(name, { description, ...(inputSchema && { inputSchema }) }, inputSchema ? run : (extra) => run({}, extra));

  tool("test_simple_text", "Returns text", async () => answer(text("This is a simple text response for testing.")));
  tool("test_image_content", "Returns an image", async () => answer(image));
  tool("test_audio_content", "Returns audio", async () => answer({ type: "audio", data: WAV, mimeType: "audio/wav" }));
  tool("test_embedded_resource", "Returns a resource", async () =>
    answer(resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")));
  tool("test_multiple_content_types", "Returns several kinds of content", async () =>
    answer(
      text("Multiple content types test:"),
      image,
      resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ));
  tool("test_error_handling", "Fails", async () => {
    throw new Error("This tool intentionally returns an error for testing");
  });
  tool("test_tool_with_logging", "Logs while it works", async (_args, { sendNotification }) => {
    const log = (data) => sendNotification({ method: "notifications/message", params: { level: "info", data } });
    await log("Tool execution started");
    await pause(50);
    await log("Tool processing data");
    await pause(50);
    await log("Tool execution completed");
    return answer(text("Done, with logging"));
  });
  tool("test_tool_with_progress", "Reports its progress", async (_args, { _meta, sendNotification }) => {
    const progressToken = _meta?.progressToken;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined) {
        const params = { progressToken, progress, total: 100 };
        await sendNotification({ method: "notifications/progress", params });
      }
      await pause(50);
    }
    return answer(text(String(progressToken)));
  });
  tool("test_sampling", "Asks the client's model", async ({ prompt }, { sendRequest }) => {
    const messages = [{ role: "user", content: text(prompt) }];
    const request = { method: "sampling/createMessage", params: { messages, maxTokens: 100 } };
    const { content } = await sendRequest(request, CreateMessageResultSchema);
    return answer(text(`LLM response: ${content.text}`));
  }, { prompt: z.string() });
  tool("test_reconnection", "Closes its stream before it answers", async (_args, { closeSSEStream }) => {
    await pause(50);
    closeSSEStream?.();
    await pause(100);
    return answer(text("Reconnection test completed successfully"));
  });
  elicitations(tool);

  // The SDK makes schemas from zod, which knows no $defs: this one is put into the list as it stands.
  tool("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", async (args) =>
    answer(text(JSON.stringify(args))), { name: z.string().optional() });
  const list = mcp.server._requestHandlers.get("tools/list");
  mcp.server.setRequestHandler(ListToolsRequestSchema, async (request, extra) => {
    const listed = await list(request, extra);
    const tools = listed.tools.map((tool) =>
      tool.name === "json_schema_2020_12_tool" ? { ...tool, inputSchema: SCHEMA_2020_12 } : tool);
    return { ...listed, tools };
  });
}

const SCHEMA_2020_12 = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: { address: { type: "object", properties: { street: { type: "string" }, city: { type: "string" } } } },
  properties: { name: { type: "string" }, address: { $ref: "#/$defs/address" } },
  additionalProperties: false,
};

function elicitations(tool) {
  const elicit = async (sendRequest, message, properties, required) => {
    const requestedSchema = { type: "object", properties, ...(required && { required }) };
    const { action, content } = await sendRequest(
      { method: "elicitation/create", params: { message, requestedSchema } },
      ElicitResultSchema,
    );
    return `action=${action}, content=${JSON.stringify(content)}`;
  };
  tool("test_elicitation", "Asks the user", async ({ message }, { sendRequest }) => {
    const properties = {
      username: { type: "string", description: "User's response" },
      email: { type: "string", description: "User's email address" },
    };
    const said = await elicit(sendRequest, message, properties, ["username", "email"]);
    return answer(text(`User response: ${said}`));
  }, { message: z.string() });
  tool("test_elicitation_sep1034_defaults", "Asks with defaults", async (_args, { sendRequest }) => {
    const said = await elicit(sendRequest, "Please review the defaults", {
      name: { type: "string", default: "John Doe" },
      age: { type: "integer", default: 30 },
      score: { type: "number", default: 95.5 },
      status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
      verified: { type: "boolean", default: true },
    });
    return answer(text(`Elicitation completed: ${said}`));
  });
  tool("test_elicitation_sep1330_enums", "Asks with every kind of choice", async (_args, { sendRequest }) => {
    const titled = (word) => ["First", "Second", "Third"].map((nth, index) =>
      ({ const: `value${index + 1}`, title: `${nth} ${word}` }));
    const untitled = ["option1", "option2", "option3"];
    const said = await elicit(sendRequest, "Please choose", {
      untitledSingle: { type: "string", enum: untitled },
      titledSingle: { type: "string", oneOf: titled("Option") },
      legacyEnum: {
        type: "string",
        enum: ["opt1", "opt2", "opt3"],
        enumNames: ["Option One", "Option Two", "Option Three"],
      },
      untitledMulti: { type: "array", items: { type: "string", enum: untitled } },
      titledMulti: { type: "array", items: { anyOf: titled("Choice") } },
    });
    return answer(text(`Elicitation completed: ${said}`));
  });
}

function resources(mcp) {
  const add = (name, uri, config, contents) =>
    mcp.registerResource(name, uri, { description: name, ...config }, async (url, variables) => ({
      contents: [{ uri: url.href, ...config, ...contents(variables) }],
    }));
  add("static-text", "test://static-text", { mimeType: "text/plain" }, () =>
    ({ text: "This is the content of the static text resource." }));
  add("static-binary", "test://static-binary", { mimeType: "image/png" }, () => ({ blob: PNG }));
  add("watched-resource", "test://watched-resource", { mimeType: "text/plain" }, () => ({ text: "Watched" }));
  const template = new ResourceTemplate("test://template/{id}/data", { list: undefined });
  add("template", template, { mimeType: "application/json" }, ({ id }) =>
    ({ text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }));
}

function prompts(mcp) {
  const user = (content) => ({ role: "user", content });
  const prompt = (name, messages, argsSchema) =>
    mcp.registerPrompt(name, { description: name, ...(argsSchema && { argsSchema }) }, async (args) =>
      ({ messages: messages(args) }));
  prompt("test_simple_prompt", () => [user(text("This is a simple prompt for testing."))]);
  prompt("test_prompt_with_arguments", ({ arg1, arg2 }) =>
    [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
  { arg1: completable(z.string(), () => ["testValue1", "testing"]), arg2: z.string() });
  prompt("test_prompt_with_embedded_resource", ({ resourceUri }) => [
    user(resource(resourceUri, "text/plain", "Embedded resource content for testing.")),
    user(text("Please process the embedded resource above.")),
  ], { resourceUri: z.string() });
  prompt("test_prompt_with_image", () => [user(image), user(text("Please analyze the image above."))]);
}
