import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { execForm, parseDockerfile } from '../support/dockerfile.ts'
import { freePort } from '../support/free-port.ts'
import { waitFor } from '../support/gateway.ts'
import { Helm, type Manifest, only, ROOT, requireHelm } from '../support/helm.ts'
import { HttpOrigin } from '../support/http-origin.ts'
import { Origin } from '../support/origin.ts'
import { RawClient } from '../support/raw-client.ts'
import { bareEnvironment, run } from '../support/run.ts'
import { openTunnel } from '../support/tunnel-client.ts'

/**
 * Takes what the chart renders, does by hand what kubelet would do with it, and sees it work: the ConfigMap as a folder of symbolic
 * links, the image's entry point with the pod's arguments and environment, its probes, a changed ConfigMap, SIGTERM within the grace
 * period. Two things differ from a pod: mount paths are folders of this test, and nobody enforces the security context.
 */

const helm = requireHelm()

/** A folder as kubelet makes it of a ConfigMap: the files are links through `..data`, which is swapped as a whole. */
class ConfigMapFolder {
  readonly path: string
  #version = 0

  constructor(path: string, files: Readonly<Record<string, string>>) {
    this.path = path
    mkdirSync(path)
    this.swap(files)
    for (const name of Object.keys(files)) symlinkSync(join('..data', name), join(path, name))
  }

  swap(files: Readonly<Record<string, string>>): void {
    const version = `..2026_01_01_${this.#version++}`
    mkdirSync(join(this.path, version))
    for (const [name, content] of Object.entries(files)) writeFileSync(join(this.path, version, name), content)
    symlinkSync(version, join(this.path, '..data_tmp'))
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'))
  }
}

describe.skipIf(helm === undefined)('what the chart renders, run as kubelet would', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-pod-'))
  const mounts = { '/etc/sallyport': join(folder, 'config'), '/var/lib/sallyport': join(folder, 'state') }
  const here = (text: string) => Object.entries(mounts).reduce((done, [from, to]) => done.replaceAll(from, to), text)

  let origins: { echo: Origin; web: HttpOrigin }
  let configMap: ConfigMapFolder
  let manifests: readonly Manifest[]
  // biome-ignore lint/suspicious/noExplicitAny: a container of a manifest
  let container: any
  let child: ChildProcess
  let exited: Promise<{ readonly code: number | null; readonly afterMs: number }>
  let told = 0
  let log = ''

  const values = (ports: readonly number[], more: object = {}) => ({
    image: { repository: 'registry.example/sallyport' },
    // The least that the chart allows, so that the test need not wait long.
    probes: { readinessPeriodSeconds: 1, readinessFailures: 1 },
    config: {
      clients: { allow: ['127.0.0.0/8'] },
      listen: { proxy: `0.0.0.0:${ports[0]}`, metrics: `0.0.0.0:${ports[1]}`, admin: `127.0.0.1:${ports[2]}` },
      limits: { drainDelaySeconds: 2, drainSeconds: 20 },
      rules: [
        { name: 'echo', hosts: ['echo.test'], ports: [7], protocol: 'any' },
        { name: 'web', hosts: ['web.test'], ports: [80] },
      ],
      destinations: {
        pin: {
          'echo.test': `127.0.0.1:${origins.echo.port}`,
          'web.test': `127.0.0.1:${origins.web.port}`,
          'later.test': `127.0.0.1:${origins.echo.port}`,
        },
      },
      ...more,
    },
  })
  const render = (of: object): readonly Manifest[] => {
    const rendered = new Helm(helm ?? '').render(of)
    if (!rendered.ok) throw new Error(rendered.error)
    return rendered.manifests
  }
  const filesOf = (of: readonly Manifest[]): Record<string, string> =>
    Object.fromEntries(Object.entries(only(of, 'ConfigMap').data).map(([name, content]) => [name, here(String(content))]))
  const portNamed = (name: string): number =>
    container.ports.find((port: { name: string; containerPort: number }) => port.name === name).containerPort
  const proxyPort = () => portNamed('proxy')
  /** As kubelet asks: by address, with that as Host. */
  const probe = (name: string) => {
    const { path, port } = container[name].httpGet
    return statusOf(`http://127.0.0.1:${portNamed(port)}${path}`)
  }

  let ports: readonly number[]
  beforeAll(async () => {
    origins = { echo: await Origin.start(), web: await HttpOrigin.serving(() => 'from the origin') }
    ports = [await freePort(), await freePort(), await freePort()]
    manifests = render(values(ports))
    const { spec } = only(manifests, 'Deployment').spec.template
    container = spec.containers[0]
    for (const { name, mountPath } of container.volumeMounts) {
      if (name === 'config') configMap = new ConfigMapFolder(here(mountPath), filesOf(manifests))
      else mkdirSync(here(mountPath))
    }
    const entryPoint = parseDockerfile(readFileSync(join(ROOT, 'Dockerfile'), 'utf8')).stages.at(-1)?.instructions
    const image = execForm(entryPoint?.find(({ name }) => name === 'ENTRYPOINT')?.text ?? '') ?? []
    const [, ...words] = [...(container.command ?? image.map((word) => word.replace('/app', ROOT))), ...container.args].map(here)
    const env = Object.fromEntries((container.env ?? []).map(({ name, value }: { name: string; value: string }) => [name, value]))
    child = spawn(process.execPath, words, { cwd: folder, env: bareEnvironment(env), stdio: ['ignore', 'ignore', 'pipe'] })
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log += text
    })
    exited = new Promise((resolve) => child.once('exit', (code) => resolve({ code, afterMs: performance.now() - told })))
    const { periodSeconds, failureThreshold } = container.startupProbe
    await waitFor(
      async () => ((await probe('startupProbe')) === 200 ? true : undefined),
      `the startup probe\n${log}`,
      periodSeconds * failureThreshold * 1000,
    )
  })

  afterAll(async () => {
    child?.kill('SIGKILL')
    await origins?.echo.stop()
    await origins?.web.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('passes its probes', async () => {
    expect(await probe('readinessProbe')).toBe(200)
    expect(await probe('livenessProbe')).toBe(200)
  })

  it('lets out what its ConfigMap allows, and refuses the rest', async () => {
    const tunnel = await openTunnel(proxyPort(), 'echo.test:7')
    tunnel.send('ping')
    expect(await tunnel.until((text) => text.endsWith('ping'))).toContain('ping')
    tunnel.close()
    await expect(openTunnel(proxyPort(), 'elsewhere.test:443')).rejects.toThrow('403 host_not_listed')
    const client = await RawClient.connect(proxyPort())
    client.send('GET http://web.test/ HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n')
    expect(await client.untilClosed()).toContain('from the origin')
  })

  it('passes `helm test`', async () => {
    const pod = only(manifests, 'Pod')
    const [{ command, args }] = pod.spec.containers
    const env = {
      SALLYPORT_PROXY: `http://127.0.0.1:${proxyPort()}`,
      SALLYPORT_METRICS: `http://127.0.0.1:${portNamed('metrics')}`,
    }
    expect(pod.spec.containers[0].env.map(({ name }: { name: string }) => name)).toEqual(Object.keys(env))
    expect(command[0]).toBe('node')
    const passed = await run(process.execPath, [...command.slice(1), ...args], { env })
    expect(passed).toEqual({ code: 0, stdout: 'ready\nrefused with 403 host_not_listed\n', stderr: '' })
    const nobody = await run(process.execPath, [...command.slice(1), ...args], {
      env: { ...env, SALLYPORT_PROXY: 'http://127.0.0.1:1' },
    })
    expect(nobody.code, 'a gateway that is not there fails the test').toBe(1)
  })

  it('takes over a changed ConfigMap without a restart, and drops no tunnel', async () => {
    const tunnel = await openTunnel(proxyPort(), 'echo.test:7')
    await expect(openTunnel(proxyPort(), 'later.test:7')).rejects.toThrow('403')
    const changed = render(
      values(ports, { rules: [{ name: 'echo', hosts: ['echo.test', 'later.test'], ports: [7], protocol: 'any' }] }),
    )
    const annotations = (of: readonly Manifest[]) => only(of, 'Deployment').spec.template.metadata.annotations
    expect(annotations(changed), 'the pods stay').toEqual(annotations(manifests))
    configMap.swap(filesOf(changed))
    const later = await waitFor(
      () => openTunnel(proxyPort(), 'later.test:7').catch(() => undefined),
      `the new rule\n${log}`,
      20_000,
    )
    later.close()
    tunnel.send('still here')
    expect(await tunnel.until((text) => text.endsWith('still here'))).toContain('still here')
    tunnel.close()
  }, 30_000)

  it('keeps its policy when the ConfigMap is broken, and stays ready', async () => {
    configMap.swap({ 'gateway.yaml': 'modee: enforce\n' })
    await waitFor(() => (log.includes('reload failed') ? true : undefined), 'the failed reload', 20_000)
    expect(await probe('readinessProbe')).toBe(200)
    const tunnel = await openTunnel(proxyPort(), 'later.test:7')
    tunnel.close()
  }, 30_000)

  it('drains on SIGTERM: not ready at once, still accepting for the delay, tunnels go on, out within the grace period', async () => {
    const { terminationGracePeriodSeconds } = only(manifests, 'Deployment').spec.template.spec
    const tunnel = await openTunnel(proxyPort(), 'echo.test:7')
    told = performance.now()
    child.kill('SIGTERM')
    await waitFor(async () => ((await probe('readinessProbe')) === 503 ? true : undefined), 'readiness to say 503')
    const late = await openTunnel(proxyPort(), 'echo.test:7')
    late.close()
    await waitFor(() => (log.includes('no new work') ? true : undefined), 'the end of the delay')
    expect(performance.now() - told).toBeGreaterThanOrEqual(1_900)
    tunnel.send('last words')
    expect(await tunnel.until((text) => text.endsWith('last words'))).toContain('last words')
    tunnel.close()
    const { code, afterMs } = await exited
    expect(code).toBe(0)
    expect(afterMs).toBeLessThan(terminationGracePeriodSeconds * 1000)
  })
})

function statusOf(url: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const asking = request(url, { agent: false, timeout: 3_000 }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
    asking.on('error', () => resolve(undefined)).end()
  })
}
