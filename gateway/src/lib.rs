//! The MCP proxy: transports, exchange pipeline, approvals
