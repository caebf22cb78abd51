"""The PyPI `mcp` client at work with server-everything. Prints what it saw as one JSON object.

In its mode `auto` it first asks `server/discover`, as MCP 2026-07-28 has it, and falls back to the handshake.
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client


def text_of(result):
    return next(block.text for block in result.content if block.type == "text")


async def main(url):
    token = os.environ.get("TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    seen, progress = {}, []

    async def on_progress(done, total, message):
        progress.append(done)

    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30, read=60)) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            seen["server"] = client.server_info.name
            seen["protocol"] = client.protocol_version
            tools = (await client.list_tools()).tools
            seen["tools"] = sorted(tool.name for tool in tools)
            seen["echo"] = text_of(await client.call_tool("echo", {"message": "Grüße, \U0001F9FE"}))
            seen["sum"] = text_of(await client.call_tool("get-sum", {"a": 2, "b": 40}))
            structured = await client.call_tool("get-structured-content", {"location": "New York"})
            seen["structured"] = structured.structured_content
            await client.call_tool(
                "trigger-long-running-operation", {"duration": 0.5, "steps": 5}, progress_callback=on_progress
            )
            seen["progress"] = progress
            seen["toolError"] = (await client.call_tool("get-sum", {"a": "no number"})).is_error
            seen["resources"] = len((await client.list_resources()).resources)
            resource = await client.read_resource("demo://resource/dynamic/text/1")
            seen["resource"] = resource.contents[0].text
            try:
                await client.read_resource("demo://nothing/here")
            except MCPError as error:
                seen["unknownResource"] = error.error.code
            seen["prompts"] = sorted(prompt.name for prompt in (await client.list_prompts()).prompts)
            seen["prompt"] = len((await client.get_prompt("simple-prompt")).messages)
    print(json.dumps(seen))


asyncio.run(main(sys.argv[1]))
