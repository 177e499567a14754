module sigs.k8s.io/k8s-container-image-promoter/tools/images

go 1.26.0
