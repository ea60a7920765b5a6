import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AuditEvent } from '../../src/core/audit-event.ts'
import { waitFor } from '../support/gateway.ts'
import { NAMESPACE_PROGRAMS } from '../support/namespace.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { describeWith } from '../support/program.ts'
import type { ProgramUnderTest } from '../support/program-under-test.ts'
import { LAB, SubnetLab } from '../support/subnet-lab.ts'

/** Owned by the internet: where most names lead, one that nobody listens on, and one that is no use but as a literal. */
const ORIGIN = '20.60.0.10'
const ORIGIN_SIX = '2603:1030::10'
const LITERAL = '20.60.0.30'

const NAMES = {
  'origin.test': [ORIGIN],
  'evil.test': [ORIGIN],
  'paths.test': [ORIGIN],
  'reads.test': [ORIGIN],
  'refused.test': [ORIGIN],
  'six.test': [ORIGIN_SIX],
  'evil-six.test': [ORIGIN_SIX],
  'my.eastus2.instances.azureml.ms': [ORIGIN],
  'private.test': ['10.9.9.9'],
  'metadata.test': ['169.254.169.254'],
} as const

/** What only clients can resolve, so that it comes as far as the gateway. */
const CLIENT_NAMES = { 'private.test': [ORIGIN], 'metadata.test': [ORIGIN], 'unknown.test': [ORIGIN] } as const

const CONFIG = `
listen:
  proxy: "0.0.0.0:${LAB.ports.proxy}"
  transparent: { tls: "[::]:${LAB.ports.tls}", http: "[::]:${LAB.ports.http}", tcp: "[::]:${LAB.ports.tcp}" }
clients: { allow: ["10.44.0.0/24", "fd44::/64"] }
dns: { servers: ["${LAB.internet.four}"] }
rules:
  - { name: origin, hosts: [origin.test, six.test, private.test, metadata.test, unknown.test] }
  - { name: odd-ports, hosts: [origin.test], ports: [8080, 8443, 9] }
  - { name: paths, hosts: [paths.test], paths: ["/team/*"] }
  - { name: reads, hosts: [reads.test], methods: [GET, HEAD] }
  - { name: refused, hosts: [refused.test], action: deny }
  - { name: literal, hosts: ["${LITERAL}"] }
`

interface Row {
  readonly what: string
  /** The last words of the curl command. */
  readonly curl: readonly string[]
  /** The body where it is let out, or the reason. */
  readonly expected: { readonly body: string } | { readonly reason: string }
  readonly entry?: string
  /** Where a request is refused that is inside a tunnel that was not. */
  readonly inside?: true
}

const ROWS: readonly Row[] = [
  {
    what: 'TLS to an allowed host',
    curl: ['https://origin.test/'],
    expected: { body: `https ${ORIGIN}:443 origin.test /\n` },
    entry: 'rule/origin',
  },
  {
    what: 'plain HTTP to an allowed host',
    curl: ['http://origin.test/a?b'],
    expected: { body: `http ${ORIGIN}:80 origin.test /a?b\n` },
    entry: 'rule/origin',
  },
  {
    what: 'TLS over IPv6',
    curl: ['https://six.test/'],
    expected: { body: `https ${ORIGIN_SIX}:443 six.test /\n` },
    entry: 'rule/origin',
  },
  {
    what: 'plain HTTP over IPv6',
    curl: ['http://six.test/'],
    expected: { body: `http ${ORIGIN_SIX}:80 six.test /\n` },
    entry: 'rule/origin',
  },
  {
    what: 'TLS on another port that is listed',
    curl: ['https://origin.test:8443/'],
    expected: { body: `https ${ORIGIN}:8443 origin.test:8443 /\n` },
    entry: 'rule/odd-ports',
  },
  {
    what: 'plain HTTP on another port that is listed',
    curl: ['http://origin.test:8080/'],
    expected: { body: `http ${ORIGIN}:8080 origin.test:8080 /\n` },
    entry: 'rule/odd-ports',
  },
  {
    what: 'the documented host on 18881',
    curl: ['https://my.eastus2.instances.azureml.ms:18881/'],
    expected: { body: `https ${ORIGIN}:18881 my.eastus2.instances.azureml.ms:18881 /\n` },
    entry: '2021-07-29/compute/instances-ms',
  },
  {
    what: 'a method with a body',
    curl: ['--data', 'x=1', 'http://origin.test/post'],
    expected: { body: `http ${ORIGIN}:80 origin.test /post\n` },
    entry: 'rule/origin',
  },
  {
    what: 'an address that is listed, over TLS',
    curl: ['--insecure', `https://${LITERAL}/`],
    expected: { body: `https ${LITERAL}:443 ${LITERAL} /\n` },
    entry: 'rule/literal',
  },
  {
    what: 'an address that is listed, over HTTP',
    curl: [`http://${LITERAL}/`],
    expected: { body: `http ${LITERAL}:80 ${LITERAL} /\n` },
    entry: 'rule/literal',
  },
  {
    what: 'an allowed path over HTTP',
    curl: ['http://paths.test/team/a'],
    expected: { body: `http ${ORIGIN}:80 paths.test /team/a\n` },
    entry: 'rule/paths',
  },
  {
    what: 'an allowed path inside TLS, inspected',
    curl: ['https://paths.test/team/a'],
    expected: { body: `https ${ORIGIN}:443 paths.test /team/a\n` },
    entry: 'rule/paths',
  },
  {
    what: 'an allowed method inside TLS, inspected',
    curl: ['https://reads.test/'],
    expected: { body: `https ${ORIGIN}:443 reads.test /\n` },
    entry: 'rule/reads',
  },
  { what: 'TLS to a host that is not listed', curl: ['https://evil.test/'], expected: { reason: 'host_not_listed' } },
  { what: 'plain HTTP to a host that is not listed', curl: ['http://evil.test/'], expected: { reason: 'host_not_listed' } },
  {
    what: 'TLS over IPv6 to a host that is not listed',
    curl: ['https://evil-six.test/'],
    expected: { reason: 'host_not_listed' },
  },
  {
    what: 'plain HTTP over IPv6 to a host that is not listed',
    curl: ['http://evil-six.test/'],
    expected: { reason: 'host_not_listed' },
  },
  {
    what: 'an allowed host on a port that is not listed',
    curl: ['https://origin.test:8444/'],
    expected: { reason: 'port_not_listed' },
    entry: 'rule/origin',
  },
  {
    what: 'a host that only others are documented beside',
    curl: ['https://evil.test:18881/'],
    expected: { reason: 'host_not_listed' },
  },
  {
    what: 'a host that a rule refuses',
    curl: ['https://refused.test/'],
    expected: { reason: 'denied_by_rule' },
    entry: 'rule/refused',
  },
  {
    what: 'a host that a rule refuses, on any port',
    curl: ['http://refused.test:8080/'],
    expected: { reason: 'denied_by_rule' },
    entry: 'rule/refused',
  },
  {
    what: 'another path over HTTP',
    curl: ['http://paths.test/other'],
    expected: { reason: 'path_not_listed' },
    entry: 'rule/paths',
  },
  {
    what: 'a path that reads in two ways',
    curl: ['--path-as-is', 'http://paths.test/team/../other'],
    expected: { reason: 'path_not_canonical' },
  },
  {
    what: 'another path inside TLS',
    curl: ['https://paths.test/other'],
    expected: { reason: 'path_not_listed' },
    entry: 'rule/paths',
    inside: true,
  },
  {
    what: 'another method inside TLS',
    curl: ['--data', 'x', 'https://reads.test/'],
    expected: { reason: 'method_not_listed' },
    entry: 'rule/reads',
    inside: true,
  },
  {
    what: 'a name that leads into a private network',
    curl: ['https://private.test/'],
    expected: { reason: 'address_refused' },
    entry: 'rule/origin',
  },
  { what: 'the same over HTTP', curl: ['http://private.test/'], expected: { reason: 'address_refused' }, entry: 'rule/origin' },
  {
    what: 'a name that leads to the metadata service',
    curl: ['http://metadata.test/'],
    expected: { reason: 'address_refused' },
    entry: 'rule/origin',
  },
  {
    what: 'a name that does not exist',
    curl: ['https://unknown.test/'],
    expected: { reason: 'dns_failed' },
    entry: 'rule/origin',
  },
  {
    what: 'a host that does not answer',
    curl: ['http://origin.test:9/'],
    expected: { reason: 'dial_failed' },
    entry: 'rule/odd-ports',
  },
]

describeWith([...NAMESPACE_PROGRAMS, 'curl', 'python3', 'openssl'], () => {
  let lab: SubnetLab
  let inspectionCa: OpensslCa
  let gateway: ProgramUnderTest
  let trusted: string

  beforeAll(async () => {
    const names = Object.keys(NAMES)
    lab = await SubnetLab.start({
      services: [
        ...[443, 8443, 18881].map((port) => ({ kind: 'https', address: ORIGIN, port, names }) as const),
        ...[80, 8080].map((port) => ({ kind: 'http', address: ORIGIN, port }) as const),
        { kind: 'https', address: ORIGIN_SIX, port: 443, names },
        { kind: 'http', address: ORIGIN_SIX, port: 80 },
        { kind: 'https', address: LITERAL, port: 443, names },
        { kind: 'http', address: LITERAL, port: 80 },
      ],
      names: NAMES,
      clientNames: CLIENT_NAMES,
    })
    await lab.redirect()
    inspectionCa = new OpensslCa('Inspection Root')
    trusted = join(lab.ca.folder, 'trusted.pem')
    writeFileSync(trusted, `${lab.ca.pem}${inspectionCa.pem}`)
  })
  afterAll(async () => {
    await lab?.stop()
    inspectionCa?.remove()
  })

  const inspection = () =>
    `inspection: { caCertificate: ${JSON.stringify(inspectionCa.certificateFile)}, caKey: ${JSON.stringify(inspectionCa.keyFile)}, upstreamCa: [${JSON.stringify(lab.ca.certificateFile)}] }\n`

  /** The events of one command: those that came since, once one of them says how it ended. */
  async function run(words: readonly string[], isLast: (event: AuditEvent) => boolean) {
    const before = gateway.events().length
    const ran = await lab.curl('--cacert', trusted, ...words)
    const events = await waitFor(
      () => {
        const fresh = gateway.events().slice(before)
        return fresh.some(isLast) ? fresh : undefined
      },
      `the audit line of ${words.join(' ')}: ${JSON.stringify(ran)} ${JSON.stringify(gateway.events().slice(before))}`,
    )
    return { ...ran, event: events.find(isLast) }
  }

  const TRANSPORTS = [
    {
      transport: 'through CONNECT and forwards',
      proxy: [`--proxy`, `http://${LAB.lan.four}:${LAB.ports.proxy}`],
      listener: /^proxy$/,
    },
    { transport: 'redirected, knowing of no proxy', proxy: [], listener: /^transparent\.(tls|http|tcp)$/ },
  ] as const

  for (const relay of ['auto', 'portable'])
    describe(`with the ${relay} relay`, () => {
      beforeAll(async () => {
        gateway = await lab.serve(`${CONFIG}relay: ${relay}\n${inspection()}`)
      })
      afterAll(() => lab?.end(gateway))

      for (const { transport, proxy, listener } of TRANSPORTS)
        describe(transport, () => {
          for (const { what, curl, expected, entry, inside } of ROWS)
            it(`${'body' in expected ? 'lets out' : `refuses with ${expected.reason}`}: ${what}`, async () => {
              const reason = 'reason' in expected ? expected.reason : undefined
              const isLast = (event: AuditEvent) => event.reason === reason && (reason !== undefined || event.event === 'allow')
              const { stdout, code, stderr, event } = await run([...proxy, ...curl], isLast)
              if ('body' in expected) expect({ stdout, code, stderr }).toEqual({ stdout: expected.body, code: 0, stderr: '' })
              expect(event).toMatchObject({
                listener: expect.stringMatching(listener),
                client: expect.stringMatching(/10\.44\.0\.10|fd44::10/),
              })
              if (entry !== undefined) expect(event?.entry).toBe(entry)
              if (reason === undefined) return
              // In words where the client speaks HTTP, as an alert or an end where it speaks TLS.
              if (curl.at(-1)?.startsWith('http://') === true || inside === true)
                expect(stdout).toContain(`"reason": "${reason}"`)
              else expect(code, stderr).toBeOneOf([35, 56])
            })
        })
    })
})
