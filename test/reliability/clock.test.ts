import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { inspected, startInspectionLab } from '../security/inspection-lab.ts'
import { type Lab, startLab } from '../security/lab.ts'
import { DnsServer } from '../support/dns-server.ts'
import { waitFor } from '../support/gateway.ts'
import { Origin } from '../support/origin.ts'
import { exchangeRaw } from '../support/raw-client.ts'
import { openTunnel, request } from '../support/tunnel-client.ts'

const HOUR = 3_600_000
const JUMPS = { 'a year ahead': 365 * 24 * HOUR, 'a year back': -365 * 24 * HOUR, 'an hour back': -HOUR } as const

let stop: () => Promise<void> = async () => {}

// Only the time of day: timers and the monotonic clock are the machine's.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(async () => {
  vi.useRealTimers()
  await stop()
})

const CONNECT = (host: string) => `CONNECT ${host}:443 HTTP/1.1\r\nHost: x\r\n\r\n`

for (const [name, jumpMs] of Object.entries(JUMPS)) {
  describe(`the time of day jumps ${name}`, () => {
    const jump = () => vi.setSystemTime(Date.now() + jumpMs)
    const lab = async (config: string, options = {}): Promise<Lab> => {
      const started = await startLab({ config, ...options })
      stop = () => started.stop()
      return started
    }

    it('and no tunnel is ended by it, before its deadlines or after', async () => {
      const { gateway } = await lab('limits: { tunnelIdleSeconds: 1.5, tunnelLifetimeSeconds: 4 }', {
        origin: await Origin.start(),
      })
      const tunnel = await openTunnel(gateway.port, 'allowed.test:7')
      jump()
      tunnel.send('still here')
      await tunnel.until((text) => text.endsWith('still here'))
      const started = performance.now()
      const [event] = await gateway.audit(1)
      expect(event?.endedBy).toBe('idle_timeout')
      expect(performance.now() - started).toBeGreaterThan(1_000)
      expect(event?.durationMs).toBeLessThan(10_000)
      tunnel.close()
    })

    it('and the rate of a client is what it was', async () => {
      const { gateway } = await lab('limits: { requestsPerSecondPerClient: 1 }')
      const status = async () => (await exchangeRaw(gateway.port, CONNECT('denied.test'))).split(' ')[1]
      expect([await status(), await status(), await status()]).toEqual(['403', '403', '429'])
      jump()
      expect(await status()).toBe('429')
      await waitFor(async () => ((await status()) === '403' ? true : undefined), 'the next second')
    })

    it('and an answer of a name server is kept for its time', async () => {
      const dns = await DnsServer.of({ 'a.looked-up.test': ['10.0.0.1'] })
      const { gateway } = await lab(`dns: { servers: ["${dns.address}"], minTtlSeconds: 1, maxTtlSeconds: 1 }`, {
        rules: ['{ name: looked-up, hosts: ["*.looked-up.test"] }'],
      })
      const ask = () => exchangeRaw(gateway.port, CONNECT('a.looked-up.test'))
      await ask()
      jump()
      await ask()
      expect(dns.count('a.looked-up.test', 'A')).toBe(1)
      await waitFor(async () => {
        await ask()
        return dns.count('a.looked-up.test', 'A') === 2 ? true : undefined
      }, 'the end of its time')
      await dns.stop()
    })

    it('and the slots of denied hosts stay whose they are', async () => {
      const { gateway } = await lab('metrics: { deniedHosts: 4 }')
      await exchangeRaw(gateway.port, CONNECT('one.test'))
      jump()
      await exchangeRaw(gateway.port, CONNECT('two.test'))
      const line = (host: string) =>
        `sallyport_denials_total{listener="proxy",verdict="deny",reason="host_not_listed",host="${host}"}`
      expect([await gateway.metric(line('one.test')), await gateway.metric(line('other'))]).toEqual([1, 1])
    })
  })
}

describe('the time of day jumps under inspection', () => {
  const ask = async (lab: Awaited<ReturnType<typeof startInspectionLab>>) => {
    const secure = await inspected(lab, 'paths.test')
    const answer = await request(secure, 'GET /team/x HTTP/1.1\r\nHost: paths.test\r\nConnection: close\r\n\r\n')
    secure.destroy()
    return answer.split('\r\n')[0]
  }

  it('ahead and back within the life of the CA: each time a certificate that is valid then', async () => {
    const lab = await startInspectionLab()
    stop = () => lab.stop()
    expect(await ask(lab)).toBe('HTTP/1.1 200 OK')
    const minted = await lab.gateway.metric('sallyport_certificates_minted_total')
    vi.setSystemTime(Date.now() + 20 * 24 * HOUR)
    // The client here looks at the real clock: only that another one is minted matters.
    await ask(lab).catch(() => {})
    expect(await lab.gateway.metric('sallyport_certificates_minted_total')).toBeGreaterThan(minted ?? 0)
    vi.setSystemTime(Date.now() - 20 * 24 * HOUR)
    expect(await ask(lab)).toBe('HTTP/1.1 200 OK')
  })

  it('past the end of the CA: what needs it is refused and the rest goes on; back again it works again', async () => {
    const lab = await startInspectionLab()
    stop = () => lab.stop()
    const now = Date.now()
    vi.setSystemTime(now + 100 * 365 * 24 * HOUR)
    expect(await exchangeRaw(lab.gateway.port, CONNECT('paths.test'))).toMatch(/^HTTP\/1\.1 403 inspection_unavailable\r\n/)
    const whole = await openTunnel(lab.gateway.port, 'whole.test:443')
    whole.close()
    vi.setSystemTime(now)
    expect(await ask(lab)).toBe('HTTP/1.1 200 OK')
  })
})
