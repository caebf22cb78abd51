//! The whole system against real MCP clients, servers and stock tools
