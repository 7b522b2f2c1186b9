"""Subscriptions of the Durable Streams protocol: durable cursors that wake workers, by webhook or over a wake stream.

record      what is stored of a subscription, and reading and writing it
rights      who asks, and what they may
targets     where webhooks may go
wakes       the state machine, as transactions
index       in memory: which subscriptions a stream concerns, and which streams are ahead of their cursors
dispatcher  the background work: wakes are begun, sent, sent again, and ended
api         the HTTP side
"""
