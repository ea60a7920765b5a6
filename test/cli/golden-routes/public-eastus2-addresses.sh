# eastus2 (East US 2) is paired with centralus (Central US)
# addresses of change 375 of the service tags; they change: `sallyport routes --diff OLD NEW` says what a newer file changes
# IPv6 ranges are left out; `--ipv6` adds them
# only for compute with public IP: say `--compute public-ip` to get the rules of its security group too, or `--compute no-public-ip`
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-EastUS2-20.41.0.240-28 --address-prefix 20.41.0.240/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-EastUS2-20.62.61.128-28 --address-prefix 20.62.61.128/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-EastUS2-20.98.195.64-27 --address-prefix 20.98.195.64/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-EastUS2-40.70.146.192-28 --address-prefix 40.70.146.192/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-EastUS2-40.70.154.161-32 --address-prefix 40.70.154.161/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-EastUS2-52.167.106.160-28 --address-prefix 52.167.106.160/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-EastUS2-52.177.164.219-32 --address-prefix 52.177.164.219/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-EastUS2-104.208.144.160-28 --address-prefix 104.208.144.160/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-CentralUS-13.89.171.64-28 --address-prefix 13.89.171.64/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-CentralUS-20.37.152.240-28 --address-prefix 20.37.152.240/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-CentralUS-20.40.231.32-28 --address-prefix 20.40.231.32/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-CentralUS-52.182.139.32-28 --address-prefix 52.182.139.32/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-CentralUS-52.185.70.56-32 --address-prefix 52.185.70.56/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-CentralUS-52.242.224.215-32 --address-prefix 52.242.224.215/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-CentralUS-104.208.16.160-28 --address-prefix 104.208.16.160/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-13.77.80.138-32 --address-prefix 13.77.80.138/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-20.41.5.224-27 --address-prefix 20.41.5.224/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-40.70.147.224-27 --address-prefix 40.70.147.224/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-40.84.49.170-32 --address-prefix 40.84.49.170/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-40.84.62.82-32 --address-prefix 40.84.62.82/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-52.167.106.128-27 --address-prefix 52.167.106.128/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-104.208.144.128-27 --address-prefix 104.208.144.128/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-104.208.156.99-32 --address-prefix 104.208.156.99/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-104.208.157.18-32 --address-prefix 104.208.157.18/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-104.210.3.254-32 --address-prefix 104.210.3.254/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-137.116.33.5-32 --address-prefix 137.116.33.5/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-137.116.33.29-32 --address-prefix 137.116.33.29/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-137.116.33.71-32 --address-prefix 137.116.33.71/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-137.116.37.146-32 --address-prefix 137.116.37.146/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-EastUS2-137.116.46.180-32 --address-prefix 137.116.46.180/32 --next-hop-type Internet
