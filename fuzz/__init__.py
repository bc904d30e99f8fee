"""The real HTTP API on a real stack, held against its own OpenAPI document by thousands of drawn requests.

`schemathesis` draws and judges them, in an environment of its own; here is what it is told, and what came of it.
"""
