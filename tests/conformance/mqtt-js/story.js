// One story with MQTT.js over WebSocket: node story.js URL VERSION. What a subscriber got is the output, as JSON.
import mqtt from "mqtt"

const [url, version] = [process.argv[2], Number(process.argv[3])]
const DEADLINE_MS = 60_000
const properties = { userProperties: { unit: "C" }, contentType: "text/plain" }
const received = []

const connect = (clientId, options = {}) =>
  mqtt.connectAsync(url, { protocolVersion: version, clientId, reconnectPeriod: 0, ...options })

// A message with that payload has come.
const until = async (payload) => {
  const deadline = Date.now() + DEADLINE_MS
  while (!received.some((message) => message.payload === payload)) {
    if (Date.now() > deadline) throw new Error(`${payload} did not come; these did: ${JSON.stringify(received)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const publisher = await connect("publisher", {
  will: { topic: "story/will", payload: Buffer.from("gone"), qos: 1, retain: false },
})
const more = version === 5 ? { properties } : {}
await publisher.publishAsync("story/retained", "retained", { qos: 1, retain: true, ...more })

const subscriber = await connect("subscriber")
subscriber.on("message", (topic, payload, packet) => {
  const unit = packet.properties?.userProperties?.unit ?? null
  received.push({ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain, unit })
})
const granted = await subscriber.subscribeAsync("story/#", { qos: 2 })
await until("retained")
for (const qos of [0, 1, 2]) {
  await publisher.publishAsync(`story/${qos}`, `qos ${qos}`, { qos, ...more })
  await until(`qos ${qos}`)
}
await publisher.publishAsync("story/large", "x".repeat(100_000), { qos: 1 })
await until("x".repeat(100_000))
received.pop()
publisher.stream.destroy()
await until("gone")
await subscriber.unsubscribeAsync("story/#")
await subscriber.endAsync()
console.log(JSON.stringify({ granted: granted.map((each) => each.qos), received }))
