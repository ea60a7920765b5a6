import { afterEach, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway } from '../../support/gateway.ts'
import { Origin } from '../../support/origin.ts'
import { policyOf, problemsOf } from '../../support/policy.ts'
import { RawClient } from '../../support/raw-client.ts'
import { openTunnel } from '../../support/tunnel-client.ts'

let gateway: TestGateway
afterEach(() => gateway?.stop())

const RULES = `rules:
  - { name: hush, hosts: [dc.telemetry.test], action: deny, quiet: true }
  - { name: loud, hosts: [evil.test], action: deny }
`

async function ask(host: string): Promise<void> {
  const client = await RawClient.connect(gateway.port)
  client.send(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`)
  await client.until((text) => text.includes('\r\n\r\n'))
  client.close()
}

const denials = (host: string) =>
  gateway.metric(`sallyport_denials_total{listener="proxy",verdict="deny",reason="denied_by_rule",host="${host}"}`)
const QUIET = 'sallyport_denials_quiet_total{listener="proxy",reason="denied_by_rule"}'
const REQUESTS = 'sallyport_requests_total{listener="proxy",kind="connect",verdict="deny",reason="denied_by_rule"}'

describe('a quiet deny rule', () => {
  it('refuses, and logs what it refuses like any other', async () => {
    gateway = await startGateway(RULES)
    await ask('dc.telemetry.test')
    expect(await gateway.audit()).toMatchObject([
      { event: 'deny', reason: 'denied_by_rule', entry: 'rule/hush', host: 'dc.telemetry.test' },
    ])
  })

  it('is counted where no alert looks: in no denial series, no first sight of a host, no remedy', async () => {
    gateway = await startGateway(RULES)
    await ask('dc.telemetry.test')
    await ask('dc.telemetry.test')
    await ask('evil.test')
    await gateway.audit(3)
    expect(await gateway.metric(QUIET)).toBe(2)
    expect(await gateway.metric(REQUESTS)).toBe(3)
    expect(await denials('dc.telemetry.test')).toBeUndefined()
    expect(await denials('evil.test')).toBe(1)
    expect(await gateway.metric('sallyport_denied_hosts_first_seen_total')).toBe(1)
    expect(await gateway.metric('sallyport_denial_remedies_total{remedy="rule",name="rule/hush"}')).toBeUndefined()
  })

  it('that only reports is quiet too: what it would refuse is served and counted there', async () => {
    const origin = await Origin.start()
    gateway = await startGateway(`rules:
  - { name: open, hosts: [dc.telemetry.test], ports: [22], protocol: any }
  - { name: hush, hosts: [dc.telemetry.test], action: deny, mode: report, quiet: true }
destinations: { pin: { dc.telemetry.test: "127.0.0.1:${origin.port}" } }
`)
    const tunnel = await openTunnel(gateway.port, 'dc.telemetry.test:22')
    tunnel.close()
    expect(await gateway.audit()).toMatchObject([{ event: 'would_deny', reason: 'denied_by_rule' }])
    expect(await gateway.metric(QUIET)).toBe(1)
    await origin.stop()
  })

  it('makes the policy another one, and says so in a listing', () => {
    const rule = { name: 'a', hosts: ['a.test'], action: 'deny' }
    expect(policyOf([{ ...rule, quiet: true }]).hash).not.toBe(policyOf([rule]).hash)
    expect(policyOf([{ ...rule, quiet: false }]).hash).toBe(policyOf([rule]).hash)
    expect(policyOf([{ ...rule, quiet: true }]).entries[0]).toMatchObject({ quiet: true })
  })

  it('has to be a deny rule', () => {
    expect(problemsOf({ rules: [{ name: 'a', hosts: ['a.test'], quiet: true }] })).toMatchObject([
      { path: ['rules', 0, 'quiet'], message: 'only a deny rule can be quiet; leave `quiet` out, or say `action: deny`' },
    ])
  })
})
