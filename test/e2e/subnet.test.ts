import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { NAMESPACE_PROGRAMS } from '../support/namespace.ts'
import { describeWith } from '../support/program.ts'
import { MAIN, type ProgramUnderTest } from '../support/program-under-test.ts'
import { LAB, SubnetLab } from '../support/subnet-lab.ts'

/**
 * Subnet mode as it is run: the built gateway, rules by `sallyport subnet --apply --watch`, clients that know of no
 * proxy, and an internet that notes what arrives. The host forwards nothing but what `subnet.forward` names.
 */

const PACKETS = fileURLToPath(new URL('../io/subnet/packets.py', import.meta.url))

/** Owned by the internet: where allowed names lead, where another does, and what exceptions are for. */
const ORIGIN = '20.60.0.10'
const ORIGIN_SIX = '2603:1030::10'
const EVIL = '20.60.0.20'
const INSTANCES = '20.60.0.30'
const TIME = '20.60.0.40'

const INSTANCE = 'my.eastus2.instances.azureml.ms'

const CONFIG = `
listen:
  proxy: "0.0.0.0:${LAB.ports.proxy}"
  metrics: "127.0.0.1:${LAB.ports.metrics}"
  admin: "127.0.0.1:${LAB.ports.admin}"
  transparent: { tls: "[::]:${LAB.ports.tls}", http: "[::]:${LAB.ports.http}", tcp: "[::]:${LAB.ports.tcp}" }
clients: { allow: ["${LAB.lan.ranges[0]}", "${LAB.lan.ranges[1]}"] }
dns: { servers: ["${LAB.internet.four}"] }
rules:
  - { name: origin, hosts: [origin.test, six.test] }
subnet:
  ranges: ["${LAB.lan.ranges[0]}", "${LAB.lan.ranges[1]}"]
  interface: ${LAB.lan.name}
  refreshSeconds: 1
  forward:
    - { name: instances, proto: udp, ports: [5831], addresses: ["${INSTANCES}"] }
    - { name: ntp, proto: udp, ports: [123], hosts: [time.test] }
`

const PYTHON = `
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode(), end="")
except urllib.error.HTTPError as refused:
    print(refused.code, refused.reason)
except OSError as failed:
    print("failed", failed)
`

describeWith([...NAMESPACE_PROGRAMS, 'curl', 'python3'], () => {
  let lab: SubnetLab
  let gateway: ProgramUnderTest
  let watch: ChildProcess
  let watched = ''

  beforeAll(async () => {
    lab = await SubnetLab.start({
      services: [
        { kind: 'https', address: ORIGIN, port: 443, names: ['origin.test'] },
        { kind: 'http', address: ORIGIN, port: 80 },
        { kind: 'https', address: ORIGIN, port: 18881, names: [INSTANCE] },
        { kind: 'https', address: ORIGIN_SIX, port: 443, names: ['six.test'] },
        { kind: 'https', address: EVIL, port: 443, names: ['evil.test', 'origin.test'] },
        { kind: 'http', address: EVIL, port: 80 },
        { kind: 'echo', address: EVIL, port: 2222 },
        { kind: 'udp', address: EVIL, port: 53 },
        { kind: 'udp', address: EVIL, port: 443 },
        { kind: 'udp', address: EVIL, port: 5831 },
        { kind: 'udp', address: INSTANCES, port: 5831 },
        { kind: 'udp', address: TIME, port: 123 },
      ],
      names: {
        'origin.test': [ORIGIN],
        'six.test': [ORIGIN_SIX],
        'evil.test': [EVIL],
        [INSTANCE]: [ORIGIN],
        'time.test': [TIME],
      },
    })
    gateway = await lab.serve(CONFIG)
    const [first = '', ...words] = [process.execPath, MAIN, 'subnet', '--config', gateway.configFile, '--apply', '--watch']
    watch = lab.gateway.spawn(first, words)
    watch.stderr?.setEncoding('utf8').on('data', (text: string) => {
      watched += text
    })
    await waitFor(() => (watched.includes('watching the rules') ? true : undefined), `the watcher ${watched}`, 20_000)
  }, 60_000)

  afterAll(async () => {
    watch?.kill('SIGKILL')
    await lab?.stop()
  })

  const send = async (kind: string, address: string, port = 0) =>
    (await lab.subnet.must('python3', [PACKETS, kind, address, String(port)])).trim()
  const arrivedAt = (address: string) => lab.arrivals.filter((one) => 'to' in one && one.to.startsWith(`${address}:`))
  const python = async (url: string) =>
    (await lab.run('python3', ['-c', PYTHON, url], { env: { SSL_CERT_FILE: lab.ca.certificateFile } })).stdout
  /** What the gateway's own page says, asked where it stands. */
  const metric = async (line: string) => {
    const page = await lab.gateway.must('curl', ['-s', `http://127.0.0.1:${LAB.ports.metrics}/metrics`])
    return Number(
      page
        .split('\n')
        .find((one) => one.startsWith(`${line} `))
        ?.slice(line.length + 1),
    )
  }
  const denied = (host: string, reason: string) =>
    waitFor(
      () => gateway.events().find((event) => event.event === 'deny' && event.host === host && event.reason === reason),
      `a denial of ${host} with ${reason} in ${gateway.stdout.slice(-2000)}`,
    )

  describe('a client without any proxy settings', () => {
    for (const [url, body] of [
      ['https://origin.test/', `https ${ORIGIN}:443 origin.test /\n`],
      ['http://origin.test/a', `http ${ORIGIN}:80 origin.test /a\n`],
      ['https://six.test/', `https ${ORIGIN_SIX}:443 six.test /\n`],
      [`https://${INSTANCE}:18881/`, `https ${ORIGIN}:18881 ${INSTANCE}:18881 /\n`],
    ] as const) {
      it(`reaches what is allowed with curl: ${url}`, async () => {
        const { code, stdout, stderr } = await lab.curl(url)
        expect(code, stderr).toBe(0)
        expect(stdout).toBe(body)
      })

      it(`reaches what is allowed with Python: ${url}`, async () => expect(await python(url)).toBe(body))
    }

    it('is known to the origin as the gateway, and to the audit log as itself', async () => {
      await lab.curl('http://origin.test/who')
      expect(
        arrivedAt(ORIGIN)
          .filter(({ what }) => what === 'connection')
          .every((one) => 'from' in one && one.from === LAB.wan.four),
      ).toBe(true)
      const line = await waitFor(() => gateway.events().find(({ path }) => path === '/who'), 'the line')
      expect(line).toMatchObject({ event: 'allow', client: LAB.client.four, listener: 'transparent.http' })
    })

    it('is refused with a reason: 403 for HTTP, an alert for TLS, a line for both', async () => {
      const http = await lab.curl('--include', 'http://evil.test/')
      expect(http.stdout).toMatch(/^HTTP\/1\.1 403 host_not_listed/)
      expect(await python('http://evil.test/')).toBe('403 host_not_listed\n')
      const tls = await lab.curl('https://evil.test/')
      expect(tls.code).not.toBe(0)
      expect(tls.stderr).toMatch(/alert access denied|access_denied/i)
      await denied('evil.test', 'host_not_listed')
      expect(arrivedAt(EVIL)).toEqual([])
    })

    it('gains nothing by a forged SNI: the name is resolved anew, and the address that was asked for is not dialled', async () => {
      const { stdout } = await lab.curl('--resolve', `origin.test:443:${EVIL}`, 'https://origin.test/forged')
      expect(stdout).toBe(`https ${ORIGIN}:443 origin.test /forged\n`)
      expect(arrivedAt(EVIL)).toEqual([])
    })

    it('gains nothing by a Host header, a raw address, another port or no name at all', async () => {
      expect((await lab.curl('--header', 'Host: origin.test', `http://${EVIL}/host`)).stdout).toBe(
        `http ${ORIGIN}:80 origin.test /host\n`,
      )
      expect((await lab.curl('--include', `http://${EVIL}/`)).stdout).toMatch(/^HTTP\/1\.1 403 /)
      expect((await lab.curl('--insecure', `https://${EVIL}/`)).code).not.toBe(0)
      expect((await lab.raw(EVIL, 2222, [{ send: 'hello\n' }])).text).not.toContain('hello')
      expect((await lab.curl('--insecure', `https://origin.test:2222/`)).code).not.toBe(0)
      expect(arrivedAt(EVIL)).toEqual([])
    })

    it('gains nothing by a second request on the same connection', async () => {
      const { text } = await lab.raw(ORIGIN, 80, [
        { send: 'GET /one HTTP/1.1\r\nHost: origin.test\r\n\r\n' },
        { until: '/one\n' },
        { send: 'GET /two HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n' },
      ])
      expect(text).toContain('200 OK')
      expect(text).toMatch(/HTTP\/1\.1 (?:403|421) /)
      expect(arrivedAt(EVIL)).toEqual([])
    })

    it('cannot reach the metadata service through the gateway', async () => {
      expect(
        (await lab.curl('--include', '--header', 'Metadata: true', 'http://169.254.169.254/metadata/instance')).stdout,
      ).toMatch(/^HTTP\/1\.1 403 /)
    })

    it('may still use the explicit proxy', async () => {
      const { stdout } = await lab.curl('--proxy', `http://${LAB.lan.four}:${LAB.ports.proxy}`, 'https://origin.test/proxied')
      expect(stdout).toBe(`https ${ORIGIN}:443 origin.test /proxied\n`)
    })
  })

  describe('packets that no listener carries', () => {
    for (const [what, kind, address, port, outcome] of [
      ['UDP 53', 'udp', EVIL, 53, 'timeout'],
      ['UDP 5831 to anybody else', 'udp', EVIL, 5831, 'timeout'],
      ['ICMP', 'icmp', EVIL, 0, 'sent'],
      ['SCTP', 'sctp', EVIL, 443, 'sent'],
      ['ICMPv6', 'icmp', ORIGIN_SIX, 0, 'sent'],
      ['QUIC, refused at once', 'udp', EVIL, 443, 'ECONNREFUSED'],
    ] as const)
      it(`get nowhere: ${what}`, async () => {
        expect(await send(kind, address, port)).toBe(outcome)
        expect(arrivedAt(EVIL)).toEqual([])
      })

    it('need forwarding only for exceptions: without it the rules say so, and nothing passes', async () => {
      await lab.gateway.must('sh', ['-c', 'echo 0 > /proc/sys/net/ipv4/ip_forward'])
      expect(await send('udp', INSTANCES, 5831)).toBe('timeout')
      const check = await lab.gateway.run(process.execPath, [MAIN, 'subnet', '--config', gateway.configFile, '--check'])
      expect(check.stdout).toContain('sysctl -w net.ipv4.ip_forward=1')
      // What most of it is about needs none.
      expect((await lab.curl('https://origin.test/')).code).toBe(0)
      await lab.gateway.must('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward'])
    })

    it('pass by an exception, for an address or for a name, as the gateway', async () => {
      expect(await send('udp', INSTANCES, 5831)).toBe('hello')
      expect(await send('udp', TIME, 123)).toBe('hello')
      for (const address of [INSTANCES, TIME])
        expect(arrivedAt(address).every((one) => one.what === 'datagram' && one.from === LAB.wan.four)).toBe(true)
    })

    it('are in the metrics and the audit log of a gateway that may not ask the kernel', async () => {
      for (const [proto, port] of [
        ['udp', '53'],
        ['udp', '443'],
        ['sctp', 'none'],
      ])
        await waitFor(
          async () =>
            (await metric(`sallyport_subnet_dropped_packets_total{proto="${proto}",port="${port}"}`)) === 1 ? true : undefined,
          `${proto} ${port} in the metrics`,
          20_000,
        )
      expect(await metric('sallyport_subnet_rules_in_force')).toBe(1)
      const [line] = await gateway.audit({ kind: 'packet', port: 5831 })
      expect(line).toMatchObject({
        event: 'deny',
        client: LAB.client.four,
        host: EVIL,
        reason: 'not_forwarded',
        listener: 'subnet',
      })
      expect(line?.hint).toContain('subnet.forward')
    })
  })

  it('leaves nothing in the host once the rules are removed', async () => {
    const ended = new Promise((resolve) => watch.once('exit', resolve))
    watch.kill('SIGTERM')
    await ended
    expect(await lab.gateway.must('nft', ['list', 'ruleset'])).toContain('table inet sallyport')
    const removed = await lab.gateway.run(process.execPath, [MAIN, 'subnet', '--remove'])
    expect(removed.stdout).toBe('removed: table inet sallyport\n')
    expect(await lab.gateway.must('nft', ['list', 'ruleset'])).toBe('')
  })
})
