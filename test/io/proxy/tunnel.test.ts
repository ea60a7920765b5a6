import { afterEach, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from '../../support/gateway.ts'
import { Origin } from '../../support/origin.ts'
import { RawClient } from '../../support/raw-client.ts'

let gateway: TestGateway
let origin: Origin

afterEach(async () => {
  await gateway.stop()
  await origin.stop()
})

describe('a tunnel', () => {
  it('carries bytes both ways and leaves one audit line at its end', async () => {
    origin = await Origin.start()
    gateway = await startGateway(
      `rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }]\ndestinations: { pin: { echo.test: "127.0.0.1:${origin.port}" } }`,
    )
    const client = await RawClient.connect(gateway.port)
    client.send('CONNECT echo.test:7 HTTP/1.1\r\nHost: echo.test:7\r\n\r\n')
    await client.until((text) => text.endsWith('\r\n\r\n'))
    expect(client.text).toBe('HTTP/1.1 200 Connection established\r\n\r\n')
    expect(await gateway.metric('sallyport_tunnels_open')).toBe(1)
    client.send('hello')
    await client.until((text) => text.endsWith('hello'))
    client.socket.end()
    await client.untilClosed()
    const [event] = await gateway.audit()
    expect(event).toMatchObject({
      event: 'allow',
      kind: 'connect',
      host: 'echo.test',
      port: 7,
      entry: 'rule/echo',
      bytesUp: 5,
      bytesDown: 5,
      endedBy: 'client',
    })
    expect(await gateway.metric('sallyport_tunnels_open')).toBe(0)
  })

  it('gets what came with the CONNECT first', async () => {
    origin = await Origin.start()
    gateway = await startGateway(
      `rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }]\ndestinations: { pin: { echo.test: "127.0.0.1:${origin.port}" } }`,
    )
    const client = await RawClient.connect(gateway.port)
    client.send('CONNECT echo.test:7 HTTP/1.1\r\nHost: echo.test:7\r\n\r\nearly')
    await client.until((text) => text.endsWith('early'))
    client.send(' late')
    await client.until((text) => text.endsWith('early late'))
    client.close()
  })
})
