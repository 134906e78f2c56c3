"""The literature behind the numbers, for the methods paragraph: only what a paragraph names is listed under it."""

from __future__ import annotations

LITERATURE = {
    "unet": "Ronneberger O., Fischer P., Brox T.: U-Net: convolutional networks for biomedical image segmentation. "
    "MICCAI 2015, LNCS 9351, 234–241. doi:10.1007/978-3-319-24574-4_28",
    "efficientnet": "Tan M., Le Q. V.: EfficientNet: rethinking model scaling for convolutional neural networks. "
    "ICML 2019, PMLR 97, 6105–6114. arXiv:1905.11946",
    "monai": "Cardoso M. J. et al.: MONAI: an open-source framework for deep learning in healthcare (2022). "
    "arXiv:2211.02701",
    "platt": "Platt J. C.: Probabilistic outputs for support vector machines and comparisons to regularized likelihood "
    "methods. In: Advances in Large Margin Classifiers, MIT Press (1999), 61–74",
    "otsu": "Otsu N.: A threshold selection method from gray-level histograms. IEEE Trans. Syst. Man Cybern. 9 (1979), "
    "62–66. doi:10.1109/TSMC.1979.4310076",
    "legland": "Legland D., Kiêu K., Devaux M.-F.: Computation of Minkowski measures on 2D and 3D binary images. "
    "Image Anal. Stereol. 26 (2007), 83–92. doi:10.5566/ias.v26.p83-92",
    "miles": "Miles R. E.: On the elimination of edge effects in planar sampling. In: Harding E. F., Kendall D. G. "
    "(eds.): Stochastic Geometry, Wiley (1974), 228–247",
    "lantuejoul": "Lantuéjoul C.: On the estimation of mean values in individual analysis of particles. Microsc. Acta "
    "S5 (1980), 266–273",
    "hanisch": "Hanisch K.-H.: Some remarks on estimators of the distribution function of nearest neighbour distance "
    "in stationary spatial point processes. Math. Operationsforsch. Stat., Ser. Stat. 15 (1984), 409–412. "
    "doi:10.1080/02331888408801788",
    "hesterberg": "Hesterberg T. C.: What teachers should know about the bootstrap. Am. Stat. 69 (2015), 371–386. "
    "doi:10.1080/00031305.2015.1089789",
}


class References:
    """Numbers what a text cites, in the order in which it does.

    Attributes
    ----------
    cited : list of str
        The references so far; the first is number 1.
    """

    def __init__(self) -> None:
        self.cited: list[str] = []

    def __call__(self, *names: str) -> str:
        """Return the mark of references by their names in :data:`LITERATURE`: ``[1]``, ``[2, 3]``."""
        return self.mark(*(LITERATURE[name] for name in names))

    def mark(self, *references: str) -> str:
        """Return the mark of references that are not in the list, written out."""
        for reference in references:
            if reference not in self.cited:
                self.cited.append(reference)
        return f"[{', '.join(str(self.cited.index(reference) + 1) for reference in references)}]"
