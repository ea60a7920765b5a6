import { afterEach, describe, expect, it } from 'vitest'
import { helloWith, serverName } from '../../core/wire/hellos/build.ts'
import { startGateway, type TestGateway } from '../../support/gateway.ts'
import { Origin } from '../../support/origin.ts'
import { RawClient } from '../../support/raw-client.ts'

let gateway: TestGateway
let origin: Origin

afterEach(async () => {
  await gateway.stop()
  await origin.stop()
})

/** What a client gets that opens a tunnel to the origin's address and then sends these bytes. */
async function opened(rule: string, bytes: Uint8Array): Promise<RawClient> {
  origin = await Origin.start()
  gateway = await startGateway(`rules: [{ name: here, ${rule}, ports: [${origin.port}], destinations: ["127.0.0.0/8"] }]`)
  const client = await RawClient.connect(gateway.port)
  client.send(`CONNECT 127.0.0.1:${origin.port} HTTP/1.1\r\nHost: 127.0.0.1:${origin.port}\r\n\r\n`)
  await client.until((text) => text.endsWith('\r\n\r\n'))
  client.send(bytes)
  return client
}

describe('a tunnel to an address', () => {
  it('may name any server where an entry lists the address, and the audit line says which', async () => {
    const hello = helloWith(serverName('login.example.com'))
    const client = await opened('addresses: ["127.0.0.0/8"]', hello)
    // The origin says again what it gets.
    await client.until((text) => text.length > hello.length)
    client.socket.end()
    await client.untilClosed()
    const [event] = await gateway.audit()
    expect(event).toMatchObject({ event: 'allow', entry: 'rule/here', host: '127.0.0.1', sni: 'login.example.com' })
  })

  it('must be TLS all the same, unless the rule says `protocol: any`', async () => {
    const client = await opened('addresses: ["127.0.0.0/8"]', Buffer.from('SSH-2.0-x\r\n'))
    await client.untilClosed()
    const [event] = await gateway.audit()
    expect(event).toMatchObject({ event: 'deny', reason: 'not_tls', entry: 'rule/here' })
  })

  it('may not name a server where a rule lists the literal as a host', async () => {
    const client = await opened('hosts: ["127.0.0.1"]', helloWith(serverName('login.example.com')))
    await client.untilClosed()
    const [event] = await gateway.audit()
    expect(event).toMatchObject({ event: 'deny', reason: 'sni_mismatch' })
  })
})
