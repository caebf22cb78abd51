//! The demo: its issuer, MCP server, people and script
