import type { PlaceName } from './choices.ts'
import { type ClientSettings, dockerClientConfig, shellExports, systemdDropIn, variables } from './env-settings.ts'
import { setupScript } from './env-setup-script.ts'

/** The places that have a setting of their own for a proxy, and how each wants it written. */

export interface Place {
  /** One line for the help. */
  readonly about: string
  readonly print: (settings: ClientSettings) => string
  /** What must be known beside it, for standard error. */
  readonly advice: (settings: ClientSettings) => readonly string[]
}

export const PLACES: Readonly<Record<PlaceName, Place>> = {
  'compute-instance': {
    about: 'a setup script: shells, Jupyter, dockerd, apt, conda, pip, git, Java, and the CA',
    print: setupScript,
    advice: () => [
      'give this as the creation or startup script of the compute instance; it runs as root and may run again',
      "the instance's own agents read no proxy settings: see the first table of docs/operations.md",
    ],
  },
  aks: {
    about: '`httpProxyConfig` of a cluster, as JSON',
    print: aksProxyConfig,
    advice: () => [
      'az aks create|update ... --http-proxy-config FILE; changing it reimages every node pool',
      'pods get it as environment variables when they are created; those that run keep what they have',
    ],
  },
  docker: {
    about: 'the daemon (pulls) and its containers (builds and runs), which have a setting each',
    print: dockerFiles,
    advice: ({ caPem }) => [
      'dockerd reads its part at start: systemctl daemon-reload && systemctl restart docker',
      ...(caPem === undefined ? [] : ['images need the CA as well: `sallyport ca show` says how']),
    ],
  },
  job: {
    about: '`environment_variables` of an Azure ML job, as YAML',
    print: jobYaml,
    advice: ({ caPem }) => [
      'this reaches the code of the job; what prepares the job (image pull, data mounts, logs) reads no proxy settings',
      ...(caPem === undefined
        ? []
        : ['path rules over HTTPS need the CA in the image of the environment: `sallyport ca show` says how']),
    ],
  },
  shell: {
    about: 'lines to evaluate: eval "$(sallyport env --for shell ...)"',
    print: (settings) => `${shellExports(settings).join('\n')}\n`,
    advice: ({ caPem }) => (caPem === undefined ? [] : ['the CA must be trusted too: `sallyport ca show` says how']),
  },
}

function aksProxyConfig({ url, noProxy, caPem }: ClientSettings): string {
  return json({
    httpProxy: `${url}/`,
    httpsProxy: `${url}/`,
    noProxy,
    ...(caPem === undefined ? {} : { trustedCa: Buffer.from(caPem, 'latin1').toString('base64') }),
  })
}

function dockerFiles(settings: ClientSettings): string {
  return [
    '# /etc/systemd/system/docker.service.d/sallyport.conf: what dockerd itself pulls and pushes through',
    systemdDropIn(settings),
    '# ~/.docker/config.json: what builds and containers get; merge it with what is there. Not ENV in a Dockerfile: it would stay in the image',
    json(dockerClientConfig(settings)),
  ].join('\n')
}

function jobYaml(settings: ClientSettings): string {
  return ['environment_variables:', ...variables(settings).map(([name, value]) => `  ${name}: "${value}"`), ''].join('\n')
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}
