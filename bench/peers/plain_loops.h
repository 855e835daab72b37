/* The losses as a C programmer writes them in ten minutes: one loop each, no checks, sums in the computing type.

   The bench includes this file in two sources, where REAL is double and float. <tgmath.h> picks log or logf. Labels of
   binary losses are numbers of type REAL, class labels are of type long long. A gradient is that of the mean. */

#include <tgmath.h>

typedef REAL real;

#define EPS ((real)1e-7)
#define EACH for (long i = 0; i < n; i++)

static inline real clipped(real p) {
    return p < EPS ? EPS : p > 1 - EPS ? 1 - EPS : p;
}

/* ---------------------------------------------------------------- probabilities, labels 0 and 1 */

static inline real of_label(real p, real y) {
    return y > (real)0.5 ? clipped(p) : 1 - clipped(p);
}

static inline real hard_derivative(real p, real y) {
    return 1 / (y > (real)0.5 ? -clipped(p) : 1 - clipped(p));
}

real hard_forward(const real *restrict p, const real *restrict y, long n) {
    real sum = 0;
    EACH sum -= log(of_label(p[i], y[i]));
    return sum / n;
}

void hard_none(const real *restrict p, const real *restrict y, real *restrict out, long n) {
    EACH out[i] = -log(of_label(p[i], y[i]));
}

void hard_backward(const real *restrict p, const real *restrict y, real *restrict gradient, long n) {
    const real scale = (real)1 / n;
    EACH gradient[i] = scale * hard_derivative(p[i], y[i]);
}

real hard_forward_backward(const real *restrict p, const real *restrict y, real *restrict gradient, long n) {
    const real scale = (real)1 / n;
    real sum = 0;
    EACH {
        sum -= log(of_label(p[i], y[i]));
        gradient[i] = scale * hard_derivative(p[i], y[i]);
    }
    return sum / n;
}

void hard_gradient_hessian(const real *restrict p, const real *restrict y, real *restrict g, real *restrict h, long n) {
    EACH {
        const real derivative = hard_derivative(p[i], y[i]);
        g[i] = derivative;
        h[i] = derivative * derivative;
    }
}

/* ---------------------------------------------------------------- probabilities, any targets */

static inline real soft_loss(real p, real t) {
    return -(t * log(clipped(p)) + (1 - t) * log(1 - clipped(p)));
}

static inline real soft_derivative(real p, real t) {
    const real q = clipped(p);
    return (q - t) / (q * (1 - q));
}

real soft_forward(const real *restrict p, const real *restrict t, long n) {
    real sum = 0;
    EACH sum += soft_loss(p[i], t[i]);
    return sum / n;
}

void soft_none(const real *restrict p, const real *restrict t, real *restrict out, long n) {
    EACH out[i] = soft_loss(p[i], t[i]);
}

void soft_backward(const real *restrict p, const real *restrict t, real *restrict gradient, long n) {
    const real scale = (real)1 / n;
    EACH gradient[i] = scale * soft_derivative(p[i], t[i]);
}

real soft_forward_backward(const real *restrict p, const real *restrict t, real *restrict gradient, long n) {
    const real scale = (real)1 / n;
    real sum = 0;
    EACH {
        sum += soft_loss(p[i], t[i]);
        gradient[i] = scale * soft_derivative(p[i], t[i]);
    }
    return sum / n;
}

/* ---------------------------------------------------------------- binary logits */

static inline real logits_loss(real z, real t) {
    return (z > 0 ? z : 0) - z * t + log(1 + exp(-fabs(z)));
}

real logits_forward(const real *restrict z, const real *restrict t, long n) {
    real sum = 0;
    EACH sum += logits_loss(z[i], t[i]);
    return sum / n;
}

void logits_none(const real *restrict z, const real *restrict t, real *restrict out, long n) {
    EACH out[i] = logits_loss(z[i], t[i]);
}

real logits_forward_backward(const real *restrict z, const real *restrict t, real *restrict gradient, long n) {
    const real scale = (real)1 / n;
    real sum = 0;
    EACH {
        const real e = exp(-fabs(z[i]));
        sum += (z[i] > 0 ? z[i] : 0) - z[i] * t[i] + log(1 + e);
        gradient[i] = scale * ((z[i] > 0 ? 1 : e) / (1 + e) - t[i]);
    }
    return sum / n;
}

void logits_gradient_hessian(const real *restrict z, const real *restrict t, real *restrict g, real *restrict h,
                             long n) {
    EACH {
        const real p = 1 / (1 + exp(-z[i]));
        g[i] = p - t[i];
        h[i] = p * (1 - p);
    }
}

void sigmoid(const real *restrict x, real *restrict out, long n) {
    EACH out[i] = 1 / (1 + exp(-x[i]));
}

/* ---------------------------------------------------------------- rows of probabilities with a distribution each */

real rows_forward(const real *restrict p, const real *restrict t, long n, long classes) {
    real sum = 0;
    for (long i = 0; i < n * classes; i++) sum -= t[i] * log(clipped(p[i]));
    return sum / n;
}

void rows_backward(const real *restrict p, const real *restrict t, real *restrict gradient, long n, long classes) {
    const real scale = (real)-1 / n;
    for (long i = 0; i < n * classes; i++) gradient[i] = scale * t[i] / clipped(p[i]);
}

real rows_forward_backward(const real *restrict p, const real *restrict t, real *restrict gradient, long n,
                           long classes) {
    const real scale = (real)-1 / n;
    real sum = 0;
    for (long i = 0; i < n * classes; i++) {
        const real q = clipped(p[i]);
        sum -= t[i] * log(q);
        gradient[i] = scale * t[i] / q;
    }
    return sum / n;
}

void rows_gradient_hessian(const real *restrict p, const real *restrict t, real *restrict g, real *restrict h, long n,
                           long classes) {
    for (long i = 0; i < n * classes; i++) {
        const real q = clipped(p[i]), ratio = t[i] / q;
        g[i] = -ratio;
        h[i] = ratio / q;
    }
}

/* ---------------------------------------------------------------- rows of logits */

static inline real largest(const real *restrict row, long classes) {
    real found = row[0];
    for (long k = 1; k < classes; k++) found = row[k] > found ? row[k] : found;
    return found;
}

/* Store exp(row - shift) and return the sum. */
static inline real exponentials(const real *restrict row, real shift, real *restrict out, long classes) {
    real sum = 0;
    for (long k = 0; k < classes; k++) {
        const real e = exp(row[k] - shift);
        out[k] = e;
        sum += e;
    }
    return sum;
}

real labels_forward_backward(const real *restrict z, const long long *restrict labels, real *restrict gradient, long n,
                             long classes) {
    const real scale = (real)1 / n;
    real sum = 0;
    EACH {
        const real *row = z + i * classes;
        real *restrict out = gradient + i * classes;
        const real shift = largest(row, classes), total = exponentials(row, shift, out, classes);
        for (long k = 0; k < classes; k++) out[k] *= scale / total;
        out[labels[i]] -= scale;
        sum += log(total) + shift - row[labels[i]];
    }
    return sum / n;
}

void softmax(const real *restrict z, real *restrict result, long n, long classes) {
    EACH {
        const real *row = z + i * classes;
        real *restrict out = result + i * classes;
        const real factor = 1 / exponentials(row, largest(row, classes), out, classes);
        for (long k = 0; k < classes; k++) out[k] *= factor;
    }
}

void log_softmax(const real *restrict z, real *restrict result, long n, long classes) {
    EACH {
        const real *row = z + i * classes;
        const real shift = largest(row, classes);
        real sum = 0;
        for (long k = 0; k < classes; k++) sum += exp(row[k] - shift);
        const real both = log(sum) + shift;
        for (long k = 0; k < classes; k++) result[i * classes + k] = row[k] - both;
    }
}

void softmax_backward(const real *restrict s, const real *restrict upstream, real *restrict result, long n,
                      long classes) {
    EACH {
        const real *row = s + i * classes, *u = upstream + i * classes;
        real dot = 0;
        for (long k = 0; k < classes; k++) dot += row[k] * u[k];
        for (long k = 0; k < classes; k++) result[i * classes + k] = row[k] * (u[k] - dot);
    }
}
