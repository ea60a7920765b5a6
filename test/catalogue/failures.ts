/**
 * Twenty things that fail for an Azure ML operator, what is really contacted, and what the hint must say.
 *
 * Assumes edition 2021-07-29 alone, `WORKSPACE` of shipped-2021.ts, no rules, and the default features unless a case
 * says otherwise. Every target is denied. Left out, because no name is denied: a private answer (`address_refused`, known only
 * after resolving) and the path row of the websocket server (inspection).
 */

import type { Cloud } from './doc-2021.ts'

export interface Failure {
  readonly failure: string
  readonly cloud: Cloud
  /** `host:port` as the client asks for it. */
  readonly target: string
  /** All of these occur in the hint. */
  readonly expectHint: RegExp | readonly string[]
  /** The kind of remedy. */
  readonly expectRemedy?: string
  /** Switches that differ from the edition's defaults. */
  readonly features?: Readonly<Record<string, boolean>>
}

const EDITION = '2026-03-19'
const RULE = { cloud: 'public', expectRemedy: 'rule' } as const
const NEWER = { cloud: 'public', expectRemedy: 'edition' } as const
const NAMED = { cloud: 'public', expectRemedy: 'workspace' } as const
const FORWARD = { cloud: 'public', expectRemedy: 'forward' } as const
const IMDS = ['NO_PROXY=169.254.169.254,168.63.129.16,localhost,127.0.0.1', 'every mode']

export const FAILURES: readonly Failure[] = [
  {
    failure: '1 pip install',
    cloud: 'public',
    target: 'files.pythonhosted.org:443',
    features: { 'python-files': false },
    expectHint: ['python-files'],
    expectRemedy: 'feature',
  },
  {
    failure: '2 conda create',
    ...RULE,
    target: 'binstar-cio-packages-prod.s3.amazonaws.com:443',
    expectHint: ['this exact host', 'never `*.s3.amazonaws.com`'],
  },
  { failure: '2 conda create, another bucket', ...RULE, target: 'other.s3.amazonaws.com:443', expectHint: /never `\*\.s3/ },
  {
    failure: '3 docker pull from MCR',
    ...NEWER,
    target: 'eastus2.data.mcr.microsoft.com:443',
    expectHint: [EDITION, 'layers', 'dockerd has its own proxy setting'],
  },
  {
    failure: "4 notebook save, another account's share",
    cloud: 'public',
    target: 'otherstore.file.core.windows.net:443',
    expectHint: ['workspace.storageAccounts', 'otherstore'],
  },
  {
    failure: '4 notebook save over SMB',
    ...FORWARD,
    target: 'otherstore.file.core.windows.net:445',
    expectHint: ['SMB is not HTTP'],
  },
  {
    failure: '5 job stuck preparing, Batch',
    ...NEWER,
    target: 'x.eastus2.batch.azure.com:443',
    expectHint: [EDITION, '`compute`'],
  },
  {
    failure: '5 job stuck preparing, Batch service',
    ...NEWER,
    target: 'x.eastus2.service.batch.azure.com:443',
    expectHint: [EDITION, '`compute`'],
  },
  {
    failure: '5 job stuck preparing, managed storage',
    ...NAMED,
    target: 'otherstore.queue.core.windows.net:443',
    expectHint: ['workspace.storageAccounts', '/services/Azure/MachineLearning'],
  },
  {
    failure: '5 job stuck preparing, image layers',
    ...NAMED,
    target: 'otherstore.blob.core.windows.net:443',
    expectHint: ['workspace.storageAccounts', '--data-endpoint-enabled', 'private endpoint'],
  },
  {
    failure: '5 job stuck preparing, data endpoint',
    ...NAMED,
    target: 'otherregistry.eastus2.data.azurecr.io:443',
    expectHint: ['workspace.containerRegistries', 'workspace.regions'],
  },
  { failure: '5 job stuck preparing, UDP', ...FORWARD, target: 'eastus2.tundra.azureml.ms:5831', expectHint: ['UDP 5831'] },
  {
    failure: '6 VS Code remote, server bits',
    ...NEWER,
    target: 'vscode.download.prss.microsoft.com:443',
    expectHint: [EDITION, '`vscode`'],
  },
  {
    failure: '6 VS Code remote, extensions',
    ...NEWER,
    target: 'marketplace.visualstudio.com:443',
    expectHint: [EDITION, '`vscode`'],
  },
  { failure: '6 VS Code remote, gallery', ...NEWER, target: 'a.gallerycdn.vsassets.io:443', expectHint: [EDITION, '`vscode`'] },
  {
    failure: '7 studio blank page',
    ...RULE,
    target: 'aadcdn.msftauth.net:443',
    expectHint: ['`aadcdn.msftauth.net` and `aadcdn.msauth.net`'],
  },
  {
    failure: '7 studio blank page, the second host',
    ...RULE,
    target: 'aadcdn.msauth.net:443',
    expectHint: ['`aadcdn.msftauth.net` and `aadcdn.msauth.net`'],
  },
  {
    failure: '8 R install, another mirror',
    ...RULE,
    target: 'packagemanager.posit.co:443',
    expectHint: ['CRAN mirror', '`repos`'],
  },
  { failure: '8 R install, CRAN itself', ...RULE, target: 'cran.r-project.org:443', expectHint: ['CRAN mirror', '`repos`'] },
  { failure: '8 R install from GitHub', ...RULE, target: 'codeload.github.com:443', expectHint: ['`codeload.github.com`'] },
  { failure: '9 git clone', ...RULE, target: 'github.com:443', expectHint: ['`github.com`', 'lets data out by push'] },
  { failure: '9 git clone over SSH', ...RULE, target: 'github.com:22', expectHint: ['`ports: [22]`', '`protocol: any`', 'push'] },
  {
    failure: '9 git clone over SSH on 443',
    ...RULE,
    target: 'ssh.github.com:443',
    expectHint: ['`ports: [443]`', '`protocol: any`'],
  },
  { failure: '9 git clone from Azure DevOps', ...RULE, target: 'dev.azure.com:443', expectHint: ['`dev.azure.com`', 'push'] },
  { failure: '10 apt-get', ...RULE, target: 'azure.archive.ubuntu.com:80', expectHint: ['`ports: [80]`'] },
  { failure: '10 apt-get, security', ...RULE, target: 'security.ubuntu.com:80', expectHint: ['`ports: [80]`'] },
  { failure: '10 apt-get, Microsoft', ...RULE, target: 'packages.microsoft.com:443', expectHint: ['`ports: [443]`'] },
  {
    failure: '11 Hugging Face',
    ...RULE,
    target: 'huggingface.co:443',
    expectHint: ['`methods: [GET, HEAD]`', 'needs inspection'],
  },
  { failure: '11 Hugging Face, files', ...RULE, target: 'cdn-lfs-us-1.hf.co:443', expectHint: ['each exact host'] },
  { failure: '11 Hugging Face, Xet', ...RULE, target: 'cas-bridge.xethub.hf.co:443', expectHint: ['each exact host'] },
  { failure: '12 W&B', ...RULE, target: 'api.wandb.ai:443', expectHint: ['sends data out by design'] },
  {
    failure: '12 W&B, files',
    ...RULE,
    target: 'storage.googleapis.com:443',
    expectHint: ['never all of `storage.googleapis.com`'],
  },
  {
    failure: '13 MLflow with SDK v1',
    ...NEWER,
    target: 'eastus2.experiments.azureml.net:443',
    expectHint: [EDITION, '`studio`'],
  },
  { failure: '14 ACR push', ...NAMED, target: 'otherregistry.azurecr.io:443', expectHint: ['workspace.containerRegistries'] },
  {
    failure: '15 sign-in in China, MSAL discovery',
    cloud: 'china',
    target: 'login.microsoftonline.com:443',
    expectHint: ['`instance_discovery=False`', 'do not open the public cloud'],
    expectRemedy: 'none',
  },
  {
    failure: '15 sign-in in China, the other name',
    cloud: 'china',
    target: 'login.partner.microsoftonline.cn:443',
    expectHint: ['this exact host'],
    expectRemedy: 'rule',
  },
  {
    failure: '16 Government portal',
    cloud: 'government',
    target: 'portal.azure.us:443',
    expectHint: ['`management.azure.us`', 'this exact host'],
    expectRemedy: 'rule',
  },
  { failure: '17 IMDS', cloud: 'public', target: '169.254.169.254:80', expectHint: IMDS, expectRemedy: 'no_proxy' },
  { failure: '17 IMDS, host address', cloud: 'public', target: '168.63.129.16:80', expectHint: IMDS, expectRemedy: 'no_proxy' },
  { failure: '18 time sync', ...FORWARD, target: 'ntp.ubuntu.com:123', expectHint: ['cannot be proxied', 'UDP 123', 'clock'] },
  {
    failure: '19 SMB mount of the named account',
    ...FORWARD,
    target: 'examplestore.file.core.windows.net:445',
    expectHint: ['SMB is not HTTP', 'private or service endpoint', 'TCP 445'],
  },
  {
    failure: '20 telemetry',
    cloud: 'public',
    target: 'eastus2-3.in.applicationinsights.azure.com:443',
    expectHint: ['harmless if denied', '`diagnostics`'],
    expectRemedy: 'none',
  },
  {
    failure: '20 telemetry, the documented hosts',
    cloud: 'public',
    target: 'dc.services.visualstudio.com:443',
    expectHint: ['diagnostics'],
    expectRemedy: 'feature',
  },
]
