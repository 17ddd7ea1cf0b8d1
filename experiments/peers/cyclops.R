# The multivariate self-controlled fit by Cyclops, on cases that
# experiments/bench_self_controlled.py wrote out. It is started by that script.
#
# To install Cyclops 3.7.0 (R >= 4.1; the packages Rcpp, RcppEigen, Matrix, survival, dplyr,
# tidyr, bit and bit64 are in every distribution):
#     git clone https://github.com/OHDSI/Cyclops && cd Cyclops && git checkout v3.7.0
#     R CMD INSTALL --library=FOLDER .
# Its dependency on Andromeda is of use for tables on disk only: where it is not to be had,
# strike the line from DESCRIPTION first and install with --no-test-load.
#
# Usage: Rscript cyclops.R LIBRARY FOLDER PENALTY TOLERANCE REPEATS
# Reads little-endian columns <name>.bin and writes beta.csv and figures.csv (seconds,
# iterations, peak memory).

args <- commandArgs(trailingOnly = TRUE)
library(Cyclops, lib.loc = args[1])
folder <- args[2]
penalty <- as.numeric(args[3])
tolerance <- as.numeric(args[4])
repeats <- as.integer(args[5])

column <- function(name, kind, size) {
  path <- file.path(folder, paste0(name, ".bin"))
  readBin(path, kind, n = file.size(path) / size, size = size, endian = "little")
}

outcomes <- data.frame(
  rowId = column("row", "integer", 4),
  stratumId = column("stratum", "integer", 4),
  y = column("events", "double", 8),
  time = column("length", "double", 8)
)
covariates <- data.frame(
  covariateId = column("group", "integer", 4),
  stratumId = column("covariate_stratum", "integer", 4),
  rowId = column("covariate_row", "integer", 4)
)
covariates$covariateValue <- 1

seconds <- c()
for (i in seq_len(repeats)) {
  # Anew each time: a second fit of the same object would start where the first ended.
  data <- convertToCyclopsData(
    outcomes, covariates, modelType = "cpr", addIntercept = FALSE, checkRowIds = FALSE,
    quiet = TRUE
  )
  gc()
  begun <- proc.time()
  fit <- fitCyclopsModel(
    data, prior = createPrior("normal", variance = 1 / penalty),
    control = createControl(tolerance = tolerance, maxIterations = 10000)
  )
  used <- proc.time() - begun
  seconds <- rbind(seconds, c(used[["elapsed"]], used[["user.self"]]))
}

beta <- coef(fit)
write.csv(data.frame(group = names(beta), beta = sprintf("%.17g", beta)),
          file.path(folder, "beta.csv"), row.names = FALSE, quote = FALSE)
peak <- grep("VmHWM", readLines("/proc/self/status"), value = TRUE)
write.csv(
  data.frame(wall = seconds[, 1], cpu = seconds[, 2], iterations = fit$iterations,
             status = fit$return_flag, peak_kib = as.numeric(gsub("[^0-9]", "", peak))),
  file.path(folder, "figures.csv"), row.names = FALSE, quote = FALSE
)
