# The course's AMI: packer init . && packer build -var region=eu-central-1 course.pkr.hcl
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "instance_type" {
  type    = string
  default = "g4dn.xlarge"
}

source "amazon-ebs" "course" {
  region        = var.region
  instance_type = var.instance_type
  ssh_username  = "ubuntu"
  ami_name      = "mfoml-course-{{timestamp}}"
  source_ami_filter {
    filters = {
      name                = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
      virtualization-type = "hvm"
    }
    owners      = ["099720109477"]
    most_recent = true
  }
  launch_block_device_mappings {
    device_name           = "/dev/sda1"
    volume_size           = 40
    volume_type           = "gp3"
    delete_on_termination = true
  }
  metadata_options {
    http_tokens = "required"
  }
}

build {
  sources = ["source.amazon-ebs.course"]
  provisioner "shell" {
    inline = [
      "cloud-init status --wait",
      "sudo apt-get update -qq && sudo apt-get install -y -qq git python3-venv",
      "sudo git clone --depth 1 https://github.com/mfoml/mfoml_course /opt/mfoml/checkout",
      "sudo /opt/mfoml/checkout/.github/image/provision.sh --user ubuntu",
      "sudo rm -f /etc/mfoml/tokens/ubuntu.env"
    ]
  }
}
