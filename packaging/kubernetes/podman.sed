# What podman 4 does not know of pod.yaml: a sidecar among the initContainers.
# It becomes the first of the containers.
#
#   sed -f podman.sed pod.yaml > podman.yaml
/^  containers:$/d
s/^  initContainers:$/  containers:/
/^    restartPolicy: Always$/d
