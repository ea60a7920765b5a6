# francecentral (France Central) is paired with francesouth (France South)
# addresses of change 375 of the service tags; they change: `sallyport routes --diff OLD NEW` says what a newer file changes
# only for compute with public IP: say `--compute public-ip` to get the rules of its security group too, or `--compute no-public-ip`
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceCentral-20.40.141.171-32 --address-prefix 20.40.141.171/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceCentral-20.43.40.96-28 --address-prefix 20.43.40.96/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceCentral-40.66.61.146-32 --address-prefix 40.66.61.146/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceCentral-40.79.130.192-28 --address-prefix 40.79.130.192/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceCentral-40.79.138.128-28 --address-prefix 40.79.138.128/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceCentral-40.79.146.128-28 --address-prefix 40.79.146.128/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceCentral-51.138.213.16-28 --address-prefix 51.138.213.16/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceCentral-2603-1020-805-1--2c0-122 --address-prefix 2603:1020:805:1::2c0/122 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceSouth-40.79.178.224-28 --address-prefix 40.79.178.224/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceSouth-51.105.88.224-28 --address-prefix 51.105.88.224/28 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMachineLearning-FranceSouth-2603-1020-905--300-122 --address-prefix 2603:1020:905::300/122 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-FranceCentral-20.40.137.186-32 --address-prefix 20.40.137.186/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-FranceCentral-20.40.149.165-32 --address-prefix 20.40.149.165/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-FranceCentral-20.43.42.96-27 --address-prefix 20.43.42.96/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-FranceCentral-40.79.131.96-27 --address-prefix 40.79.131.96/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-FranceCentral-40.79.138.96-27 --address-prefix 40.79.138.96/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-FranceCentral-40.79.146.96-27 --address-prefix 40.79.146.96/27 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-FranceCentral-52.143.139.121-32 --address-prefix 52.143.139.121/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-FranceCentral-52.143.140.12-32 --address-prefix 52.143.140.12/32 --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchNodeManagement-FranceCentral-2603-1020-805-1--340-122 --address-prefix 2603:1020:805:1::340/122 --next-hop-type Internet
