"""The only user of kubernetes_asyncio: connections, calls with deadlines, and our errors for its errors."""
