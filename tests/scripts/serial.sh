#!/bin/bash
#SBATCH --job-name=serial_job
#SBATCH --output=serial_%j.log
#SBATCH --ntasks=1
#SBATCH --mem=1gb
#SBATCH --time=00:05:00
pwd; hostname; date
