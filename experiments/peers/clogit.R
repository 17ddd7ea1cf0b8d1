# Called by clogit.py. As protocol.py: the small input, the input once untimed, then several
# times; the median of the seconds, and the peak of the memory beyond what was there before.
suppressPackageStartupMessages(library(survival))

LONG <- 5; ENOUGH <- 1; OFTEN <- 9
arguments <- commandArgs(trailingOnly = TRUE)
method <- arguments[1]
folder <- arguments[2]

read <- function(part) {
  numbers <- function(name, n) readBin(file.path(folder, part, name), "double", n)
  shape <- numbers("shape", 2)
  design <- matrix(numbers("design", prod(shape)), shape[1], shape[2])
  list(events = numbers("events", shape[1]), case = numbers("case", shape[1]), design = design)
}

work <- function(rows) {
  control <- coxph.control(eps = 1e-9, iter.max = 50)
  fit <- clogit(events ~ design + strata(case), data = rows, method = method, control = control)
  unname(coef(fit))
}

mib <- function(field) {
  line <- grep(field, readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1024
}

seconds <- function(rows) {
  begun <- proc.time()[["elapsed"]]
  answer <<- work(rows)
  proc.time()[["elapsed"]] - begun
}

answer <- work(read("small"))
rows <- read("input")
invisible(gc())
base <- mib("^VmRSS")
cat("5", file = "/proc/self/clear_refs")
took <- seconds(rows)
if (took < LONG) {
  times <- numeric()
  while (sum(times) < ENOUGH && length(times) < OFTEN) {
    invisible(gc())
    times <- c(times, seconds(rows))
  }
  took <- median(times)
}
peak <- mib("^VmHWM")
writeBin(answer, file.path(folder, "beta"))
cat(sprintf('{"seconds": %.9g, "mib": %.9g}\n', took, peak - base))
