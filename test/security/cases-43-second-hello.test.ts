import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { helloWith, serverName } from '../core/wire/hellos/build.ts'
import { waitFor } from '../support/gateway.ts'
import { Tls13Client } from '../support/tls13-client.ts'
import { openTunnel } from '../support/tunnel-client.ts'
import { eventsInside, type InspectionLab, seenByOrigins, startInspectionLab, tunnelEvent } from './inspection-lab.ts'

let lab: InspectionLab
beforeAll(async () => {
  lab = await startInspectionLab()
})
afterAll(() => lab.stop())

const get = (host: string) => `GET /team/a HTTP/1.1\r\nHost: ${host}\r\n\r\n`

describe('case 43: a second ClientHello, after a HelloRetryRequest', () => {
  it('is served under inspection when it names the same host', async () => {
    const tunnel = await openTunnel(lab.gateway.port, 'paths.test:443')
    const client = new Tls13Client(tunnel)
    await client.provokeRetry('paths.test')
    await client.finish('paths.test', get('paths.test'))
    expect(await eventsInside(lab, tunnel.localPort)).toMatchObject([{ event: 'allow', path: '/team/a' }])
    tunnel.close()
  })

  for (const name of ['evil.test', 'always.test', 'xpaths.test'])
    it(`is closed under inspection when it names another, whose request goes nowhere: ${name}`, async () => {
      const seen = seenByOrigins(lab)
      const tunnel = await openTunnel(lab.gateway.port, 'paths.test:443')
      const client = new Tls13Client(tunnel)
      await client.provokeRetry('paths.test')
      await client.finish(name, get('paths.test'))
      await tunnel.untilClosed()
      tunnel.close()
      expect((await tunnelEvent(lab, tunnel.localPort)).detail).toContain('server_name_changed')
      expect(seenByOrigins(lab)).toEqual(seen)
      expect(await lab.gateway.metric('sallyport_tls_handshake_failures_total{cause="server_name_changed"}')).toBeGreaterThan(0)
    })

  // The stated limit, in docs/security.md: the first hello is judged, and after it bytes are relayed.
  it('is relayed unjudged where a tunnel is not inspected', async () => {
    const [first, second] = [helloWith(serverName('relayed.test')), helloWith(serverName('evil.test'))]
    const tunnel = await openTunnel(lab.gateway.port, 'relayed.test:443')
    const index = lab.bytes.connections - 1
    tunnel.send(first)
    await waitFor(() => (lab.bytes.received[index]?.length === first.length ? true : undefined), 'the first hello')
    tunnel.send(second)
    await waitFor(() => (lab.bytes.received[index]?.length === first.length + second.length ? true : undefined), 'the second')
    tunnel.close()
    expect(await tunnelEvent(lab, tunnel.localPort)).toMatchObject({ event: 'allow', sni: 'relayed.test' })
  })
})
