import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { HttpOrigin } from '../support/http-origin.ts'
import { OpensslCa } from '../support/openssl-ca.ts'
import { type ProgramUnderTest, runProgram, startProgram } from '../support/program-under-test.ts'
import { exchangeRaw, RawClient } from '../support/raw-client.ts'
import { openTls } from '../support/tunnel-client.ts'

let stop: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const one of stop.reverse()) await one()
  stop = []
})

const NOBODY = 65534
const IS_ROOT = process.getuid?.() === 0 && spawnSync('unshare', ['--mount', 'true']).status === 0

/** Every file system read-only but one folder, no capability, no way to any: what a strict pod gives. */
const LOCKED_DOWN = `
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
for place in $(awk '{ print $2 }' /proc/self/mounts); do
  case "$place" in
    "$1" | /proc* | /sys* | /dev*) ;;
    *) mount -o remount,bind,ro "$place" 2> /dev/null || true ;;
  esac
done
state=$1
shift
if touch /sallyport-is-not-read-only 2> /dev/null; then echo 'the root is writable' >&2; exit 1; fi
touch "$state/writable"
exec setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
`

describe.skipIf(!IS_ROOT)('as nobody, on a read-only file system but for the state folder', () => {
  for (const workers of [1, 2]) {
    it(`serves, inspects, logs, rotates, reloads and ends (workers: ${workers})`, async () => {
      const ca = new OpensslCa('Inspection Root')
      const originCa = new OpensslCa('Origin Root')
      stop.push(
        () => ca.remove(),
        () => originCa.remove(),
      )
      const web = await HttpOrigin.start((req, res) => void res.end(`origin saw ${req.url}`), {
        tls: originCa.issue('DNS:paths.test'),
      })
      stop.push(() => web.stop())
      let state = ''
      const yaml = `workers: ${workers}
stateDirectory: state
audit: { file: state/audit.log, clients: hash, hashKeyFile: state/key }
admin: { tokenFile: state/token }
inspection: { upstreamCa: [state/origin.pem] }
reload: { watch: false }
rules: [{ name: paths, hosts: [paths.test], paths: ["/team/*"] }]
destinations: { pin: { paths.test: "127.0.0.1:${web.port}" } }
`
      const prepare = (folder: string) => {
        state = join(folder, 'state')
        mkdirSync(state)
        writeFileSync(join(state, 'ca.pem'), ca.pem)
        writeFileSync(join(state, 'ca.key'), ca.keyPem, { mode: 0o600 })
        writeFileSync(join(state, 'origin.pem'), originCa.pem)
        writeFileSync(join(state, 'token'), 'a-token-for-tests-0123456789', { mode: 0o600 })
        writeFileSync(join(state, 'key'), 'a-key-for-tests-0123456789', { mode: 0o400 })
        chmodSync(folder, 0o755)
        execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, state])
      }
      const gateway = await startUnder(yaml, prepare)
      stop.push(() => gateway.stop())
      const pid = gateway.child.pid ?? 0
      const status = readFileSync(`/proc/${pid}/status`, 'latin1')
      expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m)
      for (const set of ['CapEff', 'CapPrm', 'CapBnd']) expect(status).toMatch(new RegExp(`^${set}:\t0+$`, 'm'))
      expect(status).toMatch(/^NoNewPrivs:\t1$/m)

      const secure = await openTls(gateway.port('proxy'), 'paths.test:443', { ca: ca.pem })
      const client = new RawClient(secure)
      client.send('GET /team/x HTTP/1.1\r\nHost: paths.test\r\nConnection: close\r\n\r\n')
      expect(await client.untilClosed()).toMatch(/origin saw \/team\/x/)
      const denied = await exchangeRaw(gateway.port('proxy'), 'CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n')
      expect(denied).toMatch(/^HTTP\/1\.1 403 /)
      gateway.signal('SIGHUP')
      await gateway.logged('reloaded')
      gateway.signal('SIGUSR2')
      gateway.signal('SIGTERM')
      expect(await gateway.exited).toEqual({ code: 0, signal: null })
      const lines = readFileSync(join(state, 'audit.log'), 'utf8').trimEnd().split('\n')
      expect(lines.map((line) => JSON.parse(line).reason)).toContain('host_not_listed')
      expect(statSync(join(state, 'audit.log')).uid).toBe(NOBODY)
      expect(gateway.log.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
      expect(existsSync('/sallyport-is-not-read-only')).toBe(false)
    })
  }
})

function startUnder(yaml: string, prepare: (folder: string) => void): Promise<ProgramUnderTest> {
  let folder = ''
  const under = ['unshare', '--mount', 'sh', '-c', LOCKED_DOWN, 'sh']
  return startProgram(yaml, {
    prepare: (there) => {
      folder = there
      prepare(there)
      under.push(join(folder, 'state'))
    },
    under,
  })
}

describe('a core dump', () => {
  for (const workers of [1, 2]) {
    it(`is left by no process of the gateway (workers: ${workers})`, async () => {
      const gateway = await startProgram(`workers: ${workers}\n`, { under: ['prlimit', '--core=unlimited:unlimited'] })
      stop.push(() => gateway.stop())
      const pid = gateway.child.pid ?? 0
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ')
      const pids = [pid, ...children.filter((text) => text !== '')]
      expect(pids.length).toBe(workers === 1 ? 1 : workers + 1)
      for (const one of pids) expect(readFileSync(`/proc/${one}/limits`, 'latin1')).toMatch(/^Max core file size +1 +1 +bytes/m)
    })
  }
})

describe('the file of a secret that others can read', () => {
  const files = {
    'admin.tokenFile': 'admin: { tokenFile: secret }',
    'audit.hashKeyFile': 'audit: { clients: hash, hashKeyFile: secret }',
  }
  for (const [key, yaml] of Object.entries(files)) {
    for (const { mode, warns } of [
      { mode: 0o644, warns: true },
      { mode: 0o660, warns: true },
      { mode: 0o600, warns: false },
      { mode: 0o400, warns: false },
    ]) {
      it(`\`${key}\`, mode 0${mode.toString(8)}: ${warns ? 'check warns and says what mends it' : 'check has nothing to say'}`, async () => {
        const ca = new OpensslCa('a folder')
        stop.push(() => ca.remove())
        writeFileSync(join(ca.folder, 'gateway.yaml'), `${yaml}\n`)
        writeFileSync(join(ca.folder, 'secret'), 'a-secret-for-tests-0123456789\n')
        chmodSync(join(ca.folder, 'secret'), mode)
        const { code, stdout, stderr } = await runProgram(['check', '--config', join(ca.folder, 'gateway.yaml')])
        expect(code).toBe(0)
        const said = `${stdout}${stderr}`
        if (warns) expect(said).toMatch(new RegExp(`gateway\\.yaml:1:\\d+: warning: .*mode 0${mode.toString(8)}.*chmod 600 `))
        else expect(said).not.toContain('chmod')
      })
    }
  }
})
