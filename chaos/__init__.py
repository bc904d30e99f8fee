"""The fault campaign: the real stack under load while its parts are killed, stopped, cut off, slowed and starved.

Broker, database and services are real processes; what is checked afterwards is what clients were told, from outside.
"""
