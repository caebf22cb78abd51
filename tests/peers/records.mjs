// An upstream with tools worth guarding: personal data, secrets, a destructive command.
//
// The values it returns are made from pieces, so that no file of this repository holds one of them whole.
import { createHash } from "node:crypto";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { z } from "zod";
import { serve } from "./serve.mjs";

const customer = JSON.parse(process.env.RECORDS_CUSTOMER);
const { apiKey, privateKey } = JSON.parse(process.env.RECORDS_SECRETS);
const text = (text) => ({ content: [{ type: "text", text }] });

serve(() => {
  const mcp = new McpServer({ name: "records", version: "1.0.0" });
  mcp.registerTool("find_customer", {
    description: "Looks a customer up",
    inputSchema: { query: z.string() },
    outputSchema: { name: z.string(), email: z.string(), ssn: z.string(), card: z.string() },
  }, async () => ({
    ...text(`Found ${customer.name}, mail ${customer.email}, SSN ${customer.ssn}, card ${customer.card}`),
    structuredContent: customer,
  }));
  mcp.registerTool("rotate_key", {
    description: "Makes a new key",
    inputSchema: { service: z.string() },
  }, async ({ service }) => text(`New key of ${service}: ${apiKey}\n${privateKey}`));
  mcp.registerTool("run_sql", {
    description: "Runs a statement",
    inputSchema: { statement: z.string() },
  }, async ({ statement }) => text(`ran ${statement.length} characters`));
  mcp.registerTool("digest", {
    description: "SHA-256 of the note exactly as it arrived",
    inputSchema: { note: z.string() },
  }, async ({ note }) => text(createHash("sha256").update(note).digest("hex")));
  mcp.registerTool("deploy", {
    description: "Rolls a release out",
    inputSchema: { service: z.string() },
  }, async ({ service }) => text(`${service} is rolling out`));
  return mcp;
});
